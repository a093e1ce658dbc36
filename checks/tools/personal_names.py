"""What the name of a column says about personal data, in English and a few words of other languages."""

import re
from collections.abc import Sequence
from typing import Final

from checks.tools.inventory import Category

_PEOPLE: Final = """
    user person people profile account customer member speaker employee staff contact author guest attendee patient
    student learner teacher subscriber participant reviewer applicant candidate client owner recipient passenger tenant
    donor respondent kunde nutzer mitarbeiter
"""
#: (category, what to say, alternatives for the words of a name). Words are parted by "_"; the first that fits counts.
_BY_NAME: Final[Sequence[tuple[Category, str, str]]] = (
    (Category.ONLINE, "trace of use", """
        last_?(login|seen|active|visit)(_?at)? (logged|signed)_?in_?at
    """),
    (Category.CONTACT, "e-mail", """
        e_?mails? (e_?)?mail_address courriel (reply|send|sent|mail)_to cc bcc (mail|email)_(from|to) to_email
    """),
    (Category.CONTACT, "telephone", """
        phones? phone_?numbers? mobile mobile_?number cell_?phone telephone telefon tel fax handy msisdn whatsapp
    """),
    (Category.FINANCIAL, "bank or tax", """
        iban bic swift bank_?account(_?number)? account_?(number|no|holder) card_?(number|no|holder) credit_?card
        sort_?code vat_?id tax_?(id|number) steuernummer salary income
    """),
    (Category.IDENTITY, "name", """
        (first|last|given|family|middle|maiden|full|sur|fore|display|nick|legal|real|contact|customer)_?names?
        (user|sender|recipient|author|speaker|owner)_?names? surname forename nick login screen_name vorname nachname
        familienname prenom nom_de_famille salutation
    """),
    (Category.IDENTITY, "birth date", """
        birth_?(day|date)? date_of_birth born(_on|_at)? dob year_of_birth birth_(place|year) geburts(tag|datum)
        naissance
    """),
    (Category.LOCATION, "address", """
        (street|home|postal|shipping|billing|delivery|mailing)_?address address(_?line)?(_?[0-9])? street(_?name)?
        strasse house_?number zip(_?code)? post_?code postal_?code plz city town wohnort adresse
    """),
    (Category.LOCATION, "place", "lat(itude)? lon lng longitude geo(location|_?point)? coordinates gps"),
    (Category.IDENTITY, "number of a document", """
        ssn social_security(_?number)? national_?id passport(_?(no|number))? id_?card driving_?licen[cs]e
        personalausweis insurance_?number nhs_?number
    """),
    (Category.ONLINE, "trace of a device", """
        ip ips ip_?addr(ess)? remote_?(addr|ip|host) client_?ip last_?ip x_forwarded_for mac_?addr(ess)? user_?agent
        device_?id advertising_?id imei browser fingerprint
    """),
    (Category.CREDENTIAL, "secret", """
        passwords? password_?hash passwd pwd pass_?phrase secret tokens? session_?(id|data) cookie otp pin_?code
        (api|auth|access|refresh|reset|invite|invitation|session|private|signing|csrf|bearer)_?(token|key|code|secret)s?
        (activation|verification|confirmation|recovery|oauth|webhook)_?(token|key|code|secret|hash)s?
        (pw_reset|password_reset|secret|totp)_?(token|key|code)s? security_?(question|answer) totp public_key
        credential_?id
    """),
    (Category.SPECIAL, "special category", """
        gender sex pronouns? nationality citizenship ethnic(ity)? race religion confession health(_.*)?
        diagnos(is|es) disabilit(y|ies) allerg(y|ies) dietary(_.*)? blood_?type sexual_orientation political(_.*)?
        trade_?union
    """),
    (Category.CONTENT, "profile", """
        bio biography about_?me about cv resume avatar(_.*)? photo(_.*)? portrait profile_?(picture|image|text) picture
        signature linked_?in twitter mastodon facebook instagram github homepage social_?(link|profile|media).*
    """),
    (Category.CONTENT, "free text", """
        (internal_|private_|public_|admin_|staff_|organiser_|customer_)?(notes?|remarks?|messages?|feedback|comments?)
        complaint inquiry enquiry (free_?|review_?|comment_?|message_?|answer_?|feedback_?)text anschreiben
        bemerkung(en)?
    """),
)  # fmt: skip
_END: Final = r"(?:$|_(?:enc|encrypted|raw|old|new|norm|normalized|lower|[0-9]+)$)"
_COMPILED: Final = [
    (re.compile(rf"(?:^|.*_)(?:{'|'.join(words.split())}){_END}"), category, said) for category, said, words in _BY_NAME
]
#: What a number can tell of a person, by the words above: a pattern of plain names, for a regular expression anywhere.
NUMBERS: Final = ("telephone", "birth date", "bank or tax", "number of a document", "place", "address")
NUMBER_NAME: Final = (
    rf"^(?:.*_)?(?:{'|'.join(w for _, said, words in _BY_NAME if said in NUMBERS for w in words.split())}){_END}"
)
_PERSON_TABLE: Final = re.compile(rf"(?:^|_)(?:{'|'.join(_PEOPLE.split())})s?(?:$|_(?:user|person|profile|account)s?$)")
#: Tables whose texts people wrote, and the plain names that such texts have there.
_WRITTEN_TABLE: Final = re.compile(
    r"(?:^|_)[a-z]*(?:comment|review|feedback|answer|message|note|mail|chat|post|reply|response|ticket|inquiry)s?$"
)
_SECRET_TABLE: Final = re.compile(r"(?:^|_)[a-z]*(?:token|session|api_?key|credential|secret)s?$")
_WRITTEN: Final = frozenset({"text", "body", "content", "answer", "review", "subject", "to", "sender", "reply"})
#: Names of things, not of people: what a value looks like there settles nothing about a person.
_THING: Final = re.compile(
    r"(?:^|_)(?:version|release|digest|checksum|sha\d*|md5|etag|hash|commit|revision|slug|colou?r|locale|language|path|"
    r"file_?name|mime_?type|codename|app_label|model|content_type|template|subject|number_of|max|min)(?:_|$)"
)
#: Settings and facts that only speak of personal data: "has_phone", "token_lifetime", "email_template".
_ABOUT: Final = re.compile(
    r"(?:^|_)(?:count|template|lifetime|timeout|ttl|expiry|expires|expires_at|valid_until|length|policy|type|kind|format|"
    r"status|state|verified|verified_at|confirmed|confirmed_at|visible|visibility|sent|sent_at|id|at|on|required|enabled|"
    r"enabled_at|label|help_text|class|icon|position|order|level)$"
    r"|^(?:is|has|can|allow|allows|show|hide|require|requires|enable|use|num|max|min|number_of)_"
)
_NOT_ABOUT: Final = re.compile(
    r"(?:^|_)(?:(?:last_login|last_seen|last_active|last_visit|born|logged_in|signed_in)_(?:at|on)|"
    r"(?:device|advertising|session|national|tax|vat|credential)_id)$"
)


def plain_name(name: str) -> str:
    """'emailAddress' -> 'email_address'; the words of a column's name, parted by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def by_name(name: str, table: str = "") -> tuple[Category, str] | None:
    """What a name alone says: (category, words), or None.

    ``table``: a plain ``name`` is a person's in a table of people, a plain ``text`` is free in a table of comments.
    """
    words = plain_name(name)
    if _ABOUT.search(words) and not _NOT_ABOUT.search(words):
        return None
    for pattern, category, said in _COMPILED:
        if pattern.match(words):
            return category, said
    place = plain_name(table)
    if words in ("name", "names") and _PERSON_TABLE.search(place):
        return Category.IDENTITY, "name"
    if words in ("key", "value", "hash") and _SECRET_TABLE.search(place):
        return Category.CREDENTIAL, "secret"
    if words in _WRITTEN and _WRITTEN_TABLE.search(place):
        return Category.CONTENT, "free text"
    return None


def is_thing(name: str) -> bool:
    """Whether a name is that of a version, a digest, a path or the like."""
    return bool(_THING.search(plain_name(name)))
