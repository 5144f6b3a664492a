"""A payment provider that does not like to send money back."""

from sales.payments.notice import Refused
from sales.payments.test import TestGateway


class PickyProvider(TestGateway):
    """Refuses every refund for its `reason`, until that is empty."""

    __test__ = False
    name = "picky"
    reason = "There is not enough money."

    def refund(self, payment):
        if self.reason:
            raise Refused(self.reason)
