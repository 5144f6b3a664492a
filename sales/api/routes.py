"""The router that all these calls are on."""

from ninja import Router

router = Router()
