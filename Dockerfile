# remediator as an image. Works on python:3.x-slim and on a Debian base that has only python3 and python3-venv:
#   docker build -t remediator .
#   docker build -t remediator --build-arg BASE_IMAGE=debian-with-python3 .
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip stays in a venv of its own, so that none comes along into the image that runs.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/remediator
COPY requirements/runtime.txt /src/requirements/runtime.txt
RUN /opt/pip/bin/pip --python /opt/remediator/bin/python install \
      --only-binary :all: --require-hashes -r /src/requirements/runtime.txt
COPY pyproject.toml README.md LICENSE /src/
COPY remediator /src/remediator
RUN /opt/pip/bin/pip wheel --no-deps --wheel-dir /wheels /src \
 && /opt/pip/bin/pip --python /opt/remediator/bin/python install --no-deps --no-index /wheels/*.whl

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="remediator" \
      org.opencontainers.image.description="Watches PostgreSQL connection slots and heals them, carefully and on the record" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/remediator/remediator" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10001 remediator \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/remediator \
      --shell /usr/sbin/nologin remediator \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/remediator
# The byte code pip compiled comes along: the file system is meant to be read-only, and HEALTHCHECK starts Python often.
COPY --from=build /opt/remediator /opt/remediator
ENV PATH=/opt/remediator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
USER 10001:10001
VOLUME /var/lib/remediator
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["remediator", "health"]
ENTRYPOINT ["remediator"]
CMD ["run"]
