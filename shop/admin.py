"""Accounts, roles and queues in the dashboard; the shop's own sign-in guards it."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_rq.admin import QueueAdmin as BaseQueueAdmin
from django_rq.models import Dashboard
from unfold.admin import ModelAdmin
from unfold.dataclasses import UnfoldAction
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from catalog.merchant_forms import DialogForm
from catalog.merchant_views import button
from sales import tokens
from shop import health_page

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponseBase]

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.index_title = _("Dashboard")
for model in (User, Group, EmailAddress, Authenticator, Dashboard):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class EmailAsName(forms.ModelForm):  # type: ignore[type-arg]
    """A user's name is the e-mail address in lower case; nobody types it twice."""

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip().lower()
        if not email:
            raise ValidationError(_("Enter the address this person signs in with."))
        others = User.objects.exclude(pk=self.instance.pk)
        if others.filter(username=email).exists():
            raise ValidationError(_("There is an account with this address already."))
        self.instance.username = email
        return email


class NewUserForm(EmailAsName, UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email",)


class EditUserForm(EmailAsName, UserChangeForm):  # type: ignore[misc]
    pass


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    """People who can sign in; their role is the group they are in."""

    add_form = NewUserForm
    form = EditUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "first_name", "last_name", "is_staff", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    list_filter_submit = True
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    actions_detail = ("drop_second_step",)
    fieldsets = (
        (None, {"fields": ("email", "password", "first_name", "last_name")}),
        (
            _("Role"),
            {
                "fields": ("is_active", "is_staff", "is_superuser", "groups"),
                "description": _("Staff may open the dashboard; groups say what for."),
            },
        ),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "usable_password", "password1", "password2")}),
    )

    def save_model(
        self, request: HttpRequest, obj: User, form: Any, change: bool
    ) -> None:
        """A token that a shopper took with a password does not become one of staff."""
        super().save_model(request, obj, form, change)
        gains = {"is_staff", "is_superuser"} & set(form.changed_data)
        if change and any(getattr(obj, name) for name in gains):
            tokens.revoke_all(obj)

    def has_rescue_permission(
        self, request: HttpRequest, obj: User | str | None = None
    ) -> bool:
        """Whether this person may help others to sign in again."""
        return request.user.has_perm("auth.change_user")

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        user = self.get_object(request, str(object_id))
        if user is None or not is_mfa_enabled(user):
            return []
        if not self.has_change_permission(request, user):
            return []
        return super().get_actions_detail(request, object_id)  # type: ignore[no-any-return]

    @button(
        _("Take away the second step"),
        permission="rescue",
        icon="phonelink_erase",
        sentence=_(
            "For somebody who has lost the phone and the recovery codes. Make sure it "
            "is them who ask; the next sign-in sets it up anew."
        ),
        submit=_("Take it away"),
        variant=ActionVariant.DANGER,
    )
    def drop_second_step(
        self, request: HttpRequest, form: DialogForm, user: User
    ) -> Any:
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        Authenticator.objects.filter(user=user).delete()
        logger.warning(
            "second factor of user %s taken away by %s", user.pk, request.user
        )
        self.log_change(request, user, gettext("Took away the second step."))
        return gettext("%(email)s sets up a new second step at the next sign-in.") % {
            "email": user.email
        }

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[str] | tuple[Any, ...]:
        """Only a superuser makes superusers, or the owner's role would mean nothing."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_delete_permission(request, obj)


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Roles: what the members of a group may see and do."""


@admin.register(Dashboard)
class QueueAdmin(BaseQueueAdmin):
    """The job queues, for people with the permission instead of all staff."""

    def has_change_permission(
        self, request: HttpRequest, obj: object | None = None
    ) -> bool:
        return request.user.has_perm("django_rq.admin")

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()  # type: ignore[no-untyped-call]
        for url in urls:
            url.callback = _for_operators(url.callback)
        look = self.admin_site.admin_view(health_page.page)
        return [path("health/", look, name="shop_health"), *urls]


def _for_operators(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_staff and not request.user.has_perm("django_rq.admin"):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded
