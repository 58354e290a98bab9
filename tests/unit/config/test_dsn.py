"""Connection strings: the password comes out, what libpq would misread does not go in."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from remediator.config.dsn import parse, places


@pytest.mark.parametrize(
    ("text", "kept", "password"),
    [
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d", None),
        ("postgres://u:hunter2@h/d", "postgresql://u@h/d", "hunter2"),
        ("postgresql+psycopg://u:hunter2@h/d", "postgresql://u@h/d", "hunter2"),
        ("POSTGRESQL://u:hunter2@h/d", "postgresql://u@h/d", "hunter2"),
        ("postgis://u:hunter2@h/d", "postgresql://u@h/d", "hunter2"),
        ("postgresql://u:p%40ss%2F%25@h/d", "postgresql://u@h/d", "p@ss/%"),
        ("postgresql://u:a:b?c#d@h/d", "postgresql://u@h/d", "a:b?c#d"),
        ("postgresql://:hunter2@h/d", "postgresql://h/d", "hunter2"),
        ("postgresql://u:@h/d", "postgresql://u@h/d", None),
        ("postgresql://h1:1,h2:2/d?target_session_attrs=any", None, None),
        ("postgresql://u@[::1]:5432/d", None, None),
        ("postgresql://u:x@%2Fvar%2Frun/d", "postgresql://u@%2Fvar%2Frun/d", "x"),
        ("postgresql:///d?host=/tmp&password=hunter2", "postgresql:///d?host=%2Ftmp", "hunter2"),
        ("postgresql://h/d?sslmode=require&options=-c%20geqo%3Doff", None, None),
        ("host=h dbname=d", "host=h dbname=d", None),
        ("host = h  password = hunter2 dbname=d", "host=h dbname=d", "hunter2"),
        (r"password='a b\'c\\' host=h", "host=h", r"a b'c" + "\\"),
        (r"password=a\ b'c host=h", "host=h", "a b'c"),
        ("user='my user' options='-c geqo=off' password=x", "user='my user' options='-c geqo=off'", "x"),
        ("password='' host=h", "host=h", ""),
    ],
)
def test_the_password_comes_out_and_the_rest_stays(text: str, kept: str | None, password: str | None) -> None:
    """What is left means to libpq what it meant in the whole."""
    dsn = parse(text)
    assert dsn.password == password
    assert kept is None or dsn.text == kept
    # libpq's own parser, which knows no scheme but its own two, is the judge of what was meant.
    before = conninfo_to_dict("postgresql" + text[text.index("://") :] if "://" in text else text)
    assert (before.pop("password", None) or None) == (password or None)
    assert conninfo_to_dict(dsn.text) == before


def test_what_connect_decides_comes_out_in_its_words() -> None:
    """So that nothing overrides `connect` unseen."""
    dsn = parse("postgresql://h/d?connect_timeout=3&keepalives_count=4&tcp_user_timeout=250&sslmode=require")
    assert dsn.connect == {"timeout": "3s", "keepalives_count": "4", "tcp_user_timeout": "250ms"}
    assert dsn.text == "postgresql://h/d?sslmode=require"
    assert parse("application_name='a b' host=h").connect == {"application_name": "a b"}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:hunter2@x@h/d",
        "postgresql://u:12/hunter2@h/d",
        "postgresql://u:hunter2 x@h/d",
        "postgresql://u:hunter2%zz@h/d",
        "postgresql://u:hunter2%00@h/d",
        "postgresql://u:hunter2%ff@h/d",
        "postgresql://u@h/d#hunter2",
        "postgresql://u:x@h/d?password=hunter2",
        "postgresql://h/d?hunter2",
        "postgresql://h/d?hunter2=1",
        "postgresql://h/d?sslmode=a&sslmode=hunter2",
        "postgresql://h/d?sslpassword=hunter2",
        "mysql://u:hunter2@h/d",
        "://hunter2",
        "hunter2",
        "host=h hunter2",
        "hunter2=h",
        "host=h password=hunter2 password=x",
        "password='hunter2",
        "password=hunter2\\",
        "password='a'hunter2",
        "sslpassword=hunter2",
        "dbname='postgresql://u:hunter2@h/d'",
        "dbname='password=hunter2'",
    ],
)
def test_what_libpq_would_read_differently_is_refused_unseen(text: str) -> None:
    """A misplaced password would show in libpq's messages."""
    with pytest.raises(ValueError, match=r"^(is|has) ") as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["postgresql://u@h:port/d", "postgresql://h1:1,h2:two", "postgresql://[::1]:p/d"]
)
def test_a_port_that_is_no_number_is_told_as_such(text: str) -> None:
    """To percent-encode it would be no help."""
    with pytest.raises(ValueError, match="has a port") as caught:
        parse(text)
    assert str(caught.value) == (
        "has a port that is not a number; postgresql://user@host:5432/database is the form"
    )


@pytest.mark.parametrize("text", ["postgresql://u:hunter2/x@h/d", "postgresql://u:p/x@h:port/d"])
def test_a_slash_in_a_password_is_no_bad_port(text: str) -> None:
    """To percent-encode it is what helps."""
    with pytest.raises(ValueError, match="percent-encode"):
        parse(text)


def test_neither_form_shows_its_password() -> None:
    """Not even in a repr."""
    assert "hunter2" not in repr(parse("postgresql://u:hunter2@h/d"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", {("", "5432")}),
        ("dbname=shop user=me", {("", "5432")}),
        ("postgresql://me@DB/shop", {("db", "5432")}),
        ("host=db port=5432 dbname='the shop'", {("db", "5432")}),
        ("postgresql://me@[::1]:6000,two/shop", {("[::1]", "6000"), ("two", "5432")}),
        ("postgresql:///shop?host=/run/postgresql&port=6000", {("/run/postgresql", "6000")}),
        ("host=one,two port=6000", {("one", "6000"), ("two", "6000")}),
        ("host=one,two port=6000,6001", {("one", "6000"), ("two", "6001")}),
        ("host=db hostaddr=10.0.0.7", {("10.0.0.7", "5432")}),
        ("service=shop", set()),
    ],
)
def test_where_a_server_is_looked_for(text: str, where: set[tuple[str, str]]) -> None:
    """As libpq would, whichever form it is written in."""
    assert places(parse(text).text) == where
