"""Where browsers offer passkeys: at a name, never at a number."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def opened_by_number(context: template.Context) -> str:
    """Empty at a name; at the machine's own number the same page's address by name; at another number "elsewhere"."""
    request = context["request"]
    parts = urlsplit(str(request.build_absolute_uri()))
    try:
        number = ip_address(parts.hostname or "")
    except ValueError:
        return ""
    if not number.is_loopback:
        return "elsewhere"
    return parts._replace(netloc=f"localhost:{parts.port}" if parts.port else "localhost").geturl()
