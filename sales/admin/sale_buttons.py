"""The buttons of the flash-sale desk: each runs one step and says what came of it."""

from typing import Any

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.enums import ActionVariant

from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from sales import adjustments, flash, planning, recovery
from sales.admin.steps import attempt
from sales.merchant_forms import CloneForm, ClosingForm, LimitForm, PriceForm, UnitsForm
from sales.models import FlashSale, SaleState

BUTTONS = {
    "schedule": (SaleState.DRAFT,),
    "preload": (SaleState.SCHEDULED, SaleState.LOADED),
    "pause": (SaleState.LOADED, SaleState.LIVE),
    "resume": flash.RUNNING,  # if there is something to resume
    "end": flash.RUNNING,
    "cancel": (SaleState.DRAFT, SaleState.SCHEDULED, SaleState.LOADED),
    "change_units": flash.RUNNING,
    "change_price": flash.RUNNING,
    "change_limit": flash.RUNNING,
    "change_closing": flash.RUNNING,
    "clone": tuple(SaleState),
}


class LifeButtons:
    """Schedule, preload, pause, resume, end, cancel; and a copy of a sale."""

    @button(
        gettext_lazy("Schedule"),
        permission="change",
        icon="event_available",
        sentence=gettext_lazy(
            "From now on the sale is loaded and opened in time, by itself."
        ),
        variant=ActionVariant.PRIMARY,
    )
    def schedule(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.schedule(sale.pk, actor=actor))
        return done and _("“%(sale)s” is scheduled.") % {"sale": sale}

    @button(
        gettext_lazy("Preload now"),
        permission="change",
        icon="bolt",
        sentence=gettext_lazy(
            "Sets the units aside and makes the sale ready to open. Safe to repeat."
        ),
        variant=ActionVariant.PRIMARY,
    )
    def preload(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)

        def load() -> list[flash.Preloaded]:
            outcomes = flash.preload(sale.pk, actor=actor)
            recovery.open_fence()
            return outcomes

        outcomes = attempt(form, load)
        if outcomes is None:
            return None
        for outcome in outcomes:
            if outcome.error:
                messages.error(request, f"{outcome.sku}: {outcome.error}")
        loaded = [outcome for outcome in outcomes if not outcome.error]
        sentence = ngettext(
            "%(count)s product is loaded, with %(units)s units in all.",
            "%(count)s products are loaded, with %(units)s units in all.",
            len(loaded),
        )
        units = sum(outcome.units for outcome in loaded)
        return sentence % {"count": len(loaded), "units": units}

    @button(
        gettext_lazy("Pause"),
        permission="change",
        icon="pause",
        sentence=gettext_lazy(
            "Nobody can claim until you resume. Open holds may still be paid."
        ),
    )
    def pause(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.pause(sale.pk, actor=actor))
        return done and _("“%(sale)s” is paused.") % {"sale": sale}

    @button(
        gettext_lazy("Resume"),
        permission="change",
        icon="play_arrow",
        sentence=gettext_lazy(
            "Shoppers can claim again at once. Products that the audit has paused go "
            "on, too: look first at what it has found."
        ),
        variant=ActionVariant.PRIMARY,
    )
    def resume(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.resume(sale.pk, actor=actor))
        return done and _("“%(sale)s” runs again.") % {"sale": sale}

    @button(
        gettext_lazy("End now"),
        permission="change",
        icon="stop",
        sentence=gettext_lazy(
            "Ends the sale for good. Open holds may still be paid; what is left goes "
            "back to the shop."
        ),
        variant=ActionVariant.DANGER,
    )
    def end(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.end(sale.pk, actor=actor))
        return done and _("“%(sale)s” has ended.") % {"sale": sale}

    @button(
        gettext_lazy("Cancel sale"),
        permission="change",
        icon="cancel",
        sentence=gettext_lazy(
            "The sale will not take place; loaded units go back to the shop."
        ),
        submit=gettext_lazy("Cancel the sale"),
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.cancel(sale.pk, actor=actor))
        return done and _("“%(sale)s” is cancelled.") % {"sale": sale}

    @button(
        gettext_lazy("Clone"),
        permission="add",
        icon="content_copy",
        sentence=gettext_lazy("Makes a draft with the same products and prices."),
        form_class=CloneForm,
    )
    def clone(self, request: HttpRequest, form: CloneForm, sale: FlashSale) -> Any:
        try:
            copy = planning.clone(sale, **form.cleaned_data)
        except IntegrityError:
            form.add_error(
                "opens_at",
                _(
                    "Some of its products are in another sale at that time. "
                    "Choose a later time."
                ),
            )
            return None
        return format_html(
            '{} <a class="underline" href="{}">{}</a>',
            _("“%(sale)s” is a draft now.") % {"sale": copy},
            reverse("admin:sales_flashsale_change", args=[copy.pk]),
            _("Open it"),
        )


class ChangeButtons:
    """Units, a price, a limit or the closing time of a sale that is loaded."""

    @button(
        gettext_lazy("Add or take back units"),
        permission="change",
        icon="exposure",
        form_class=UnitsForm,
    )
    def change_units(
        self, request: HttpRequest, form: UnitsForm, sale: FlashSale
    ) -> Any:
        item, reason = form.cleaned_data["item"], form.cleaned_data["reason"]

        def change() -> bool:
            adjustments.change_units(
                item.pk, form.delta, actor=actor_of(request), reason=reason
            )
            return True

        return attempt(form, change) and _("%(product)s: %(delta)s units.") % {
            "product": item.product,
            "delta": f"{form.delta:+d}",
        }

    @button(
        gettext_lazy("Change a price"),
        permission="change",
        icon="sell",
        form_class=PriceForm,
    )
    def change_price(
        self, request: HttpRequest, form: PriceForm, sale: FlashSale
    ) -> Any:
        item, price = form.cleaned_data["item"], form.cleaned_data["price"]

        def change() -> bool:
            adjustments.change_price(
                item.pk,
                price,
                actor=actor_of(request),
                reason=form.cleaned_data["reason"],
            )
            return True

        return attempt(form, change) and _(
            "%(product)s costs %(price)s for new claims."
        ) % {"product": item.product, "price": price}

    @button(
        gettext_lazy("Change a limit per buyer"),
        permission="change",
        icon="person",
        form_class=LimitForm,
    )
    def change_limit(
        self, request: HttpRequest, form: LimitForm, sale: FlashSale
    ) -> Any:
        item, limit = form.cleaned_data["item"], form.cleaned_data["limit"]

        def change() -> bool:
            adjustments.change_limit(item.pk, limit, actor=actor_of(request))
            return True

        return attempt(form, change) and _(
            "%(product)s: at most %(limit)s a buyer."
        ) % {
            "product": item.product,
            "limit": limit,
        }

    @button(
        gettext_lazy("Close at another time"),
        permission="change",
        icon="schedule",
        form_class=ClosingForm,
    )
    def change_closing(
        self, request: HttpRequest, form: ClosingForm, sale: FlashSale
    ) -> Any:
        closes_at = form.cleaned_data["closes_at"]

        def change() -> bool:
            adjustments.change_closing(sale.pk, closes_at, actor=actor_of(request))
            return True

        return attempt(form, change) and _("“%(sale)s” closes at %(at)s UTC.") % {
            "sale": sale,
            "at": f"{closes_at:%Y-%m-%d %H:%M}",
        }
