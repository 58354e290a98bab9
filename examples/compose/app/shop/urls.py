"""What the shop answers."""

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import Ticket
from .tasks import sell


def index(request: HttpRequest) -> JsonResponse:
    """One query; fails with 500 when the server has no slot left."""
    return JsonResponse({"tickets_sold": Ticket.objects.count()})


def health(request: HttpRequest) -> JsonResponse:
    """This process answers. Asks no database: a full server is no reason to replace the web server."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_POST
def sell_ticket(request: HttpRequest) -> JsonResponse:
    """Leave the work to a Celery worker."""
    return JsonResponse({"task": sell.delay().id}, status=202)


urlpatterns = [path("", index), path("health", health), path("sell", sell_ticket)]
