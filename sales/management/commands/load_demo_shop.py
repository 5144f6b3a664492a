"""Fills an empty shop with the demo, or keeps its flash sales going."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from catalog.models import Product
from sales import counters
from sales.demo import flash_sales, goods, history, people
from sales.models import FlashSale


class Command(BaseCommand):
    """Safe to repeat: a shop that has products gets no others."""

    help = (
        "Fill an empty shop with demo products, orders and flash sales; in a shop that "
        "has products, see that one flash sale is live and one is about to open."
    )

    requires_system_checks: list[str] = []  # nobody should wait for them here

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("sales").setLevel(logging.ERROR)
        merchant = self.create_accounts() if settings.DEMO else None
        if Product.objects.exists():
            self.say("Products: already there")
        else:
            self.fill(merchant)
        with counters.patience(10):  # of a machine that has much to do
            self.keep_sales(merchant)

    def create_accounts(self) -> User:
        merchant = people.create_accounts()
        self.say(f"Accounts: {people.MERCHANT} and {people.SHOPPER}")
        return merchant

    @transaction.atomic
    def fill(self, merchant: User | None) -> None:
        """All or nothing, so that a second run finds an empty shop or a full one."""
        self.say(f"Pictures: {goods.draw_pictures()} drawn")
        products = goods.fill(actor=merchant)
        self.say(f"Products: {len(products)} with stock, pictures and thresholds")
        steps = history.tell(products, now=timezone.now(), actor=merchant)
        self.say(f"History: {steps} deliveries, counts and orders of two weeks")
        history.watch(people.MERCHANT)
        flash_sales.plan(now=timezone.now())
        self.say("Draft sale: planned in three weeks")

    def keep_sales(self, merchant: User | None) -> None:
        live = flash_sales.keep_live(now=timezone.now(), actor=merchant)
        self.report("Live sale", live, "closes")
        opening = flash_sales.keep_opening(now=timezone.now(), actor=merchant)
        self.report("Opening sale", opening, "opens")

    def report(self, what: str, sale: FlashSale | None, verb: str) -> None:
        if sale is None:
            self.say(f"{what}: nothing to do")
            return
        at = sale.closes_at if verb == "closes" else sale.opens_at
        self.say(f"{what}: {sale.name}, {verb} at {at:%H:%M:%S} UTC")

    def say(self, line: str) -> None:
        self.stdout.write(line)
