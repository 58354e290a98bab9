"""The one table of the shop; the database's first start creates it."""

from django.db import models


class Ticket(models.Model):
    """A ticket sold."""

    sold_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ticket"
        managed = False
