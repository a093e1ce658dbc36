"""Small typed readers of environment variables.

Every variable `NAME` may also come from the file that `NAME_FILE` names, as container secrets do.
A value that cannot be read stops the boot with a sentence that names the variable.
"""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def text(name: str, default: str = "") -> str:
    """Return the variable, else the content of the file `NAME_FILE` names, else `default`."""
    file_name = os.environ.get(f"{name}_FILE", "")
    if name in os.environ:
        if file_name and os.environ[name]:
            raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set; keep one of them.")
        if not file_name:
            return os.environ[name]
    if not file_name:
        return default
    try:
        return Path(file_name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE names {file_name}, which cannot be read: {error}.") from error


def boolean(name: str, default: bool) -> bool:
    value = text(name).strip().lower()
    if not value:
        return default
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of true, false, yes, no, on, off, 1, 0.")


def integer(name: str, default: int, *, least: int | None = None, most: int | None = None) -> int:
    value = text(name).strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a whole number.") from None
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = " and ".join(
            part for part in (f"at least {least}" * (least is not None), f"at most {most}" * (most is not None)) if part
        )
        raise ImproperlyConfigured(f"{name} is {number}; it must be {bounds}.")
    return number


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return the comma-separated parts, without blanks and empty parts."""
    parts = [part.strip() for part in text(name).split(",")]
    return [part for part in parts if part] or list(default)


def path(name: str, default: Path) -> Path:
    value = text(name)
    return Path(value).expanduser().absolute() if value else default


def one_of(name: str, choices: tuple[str, ...], default: str) -> str:
    value = text(name, default).strip() or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


def secret(name: str, folder: Path, make: Callable[[], str], *, may_make: bool) -> str:
    """Return the variable, else the secret kept in `folder`, made on first use with mode 0600.

    With `may_make` false a missing secret stops the boot, so that two machines never work with different keys.
    """
    value = text(name)
    if value:
        return value
    file = folder / name.lower()
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ImproperlyConfigured(f"{name} is not set, and {file} cannot be read: {error}.") from error
    if not may_make:
        raise ImproperlyConfigured(f"{name} is not set. Set {name} or {name}_FILE; keys are not made here.")
    return _keep_secret(name, file, make())


def _keep_secret(name: str, file: Path, value: str) -> str:
    """Write `value` once: of several processes that start together, all return what the first one wrote."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(value + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return file.read_text(encoding="utf-8").strip()
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} is not set, and no new one can be kept in {file}: {error}.") from error
    return value


def database(url: str, *, name: str = "DATABASE_URL") -> dict[str, object]:
    """Turn `postgresql://user:password@host:port/database?host=/socket&sslmode=require` into Django's form."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} must begin with postgresql://.")
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} has a port that is not a number.") from None
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", "") or unquote(parts.hostname or "")
    database_name = unquote(parts.path.lstrip("/"))
    if not database_name:
        raise ImproperlyConfigured(f"{name} names no database; it must end with /database.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(options.pop("port", "") or port or ""),
        "OPTIONS": options,
    }


def storage(url: str, *, name: str = "STORAGE_URL") -> dict[str, object]:
    """Turn a storage address into an entry of STORAGES.

    `file:///folder` keeps files in a folder.
    `s3://key:secret@host:port/bucket?tls=false&region=eu&prefix=gonogo` keeps them in an S3-compatible store;
    without a host (`s3:///bucket`) it is AWS with the credentials of the machine.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = unquote(parts.path)
        if not folder.startswith("/") or parts.netloc:
            raise ImproperlyConfigured(f"{name} must be file:///absolute/folder.")
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": folder, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
        }
    if parts.scheme == "s3":
        return _s3_storage(url, name)
    raise ImproperlyConfigured(f"{name} must begin with file:// or s3://.")


def _s3_storage(url: str, name: str) -> dict[str, object]:
    parts = urlsplit(url)
    bucket = unquote(parts.path.strip("/"))
    if not bucket or "/" in bucket:
        raise ImproperlyConfigured(f"{name} must name one bucket: s3://key:secret@host:port/bucket.")
    query = dict(parse_qsl(parts.query))
    tls = query.pop("tls", "true").lower()
    if tls not in TRUE_WORDS | FALSE_WORDS:
        raise ImproperlyConfigured(f"tls in {name} must be true or false.")
    options: dict[str, object] = {
        "bucket_name": bucket,
        "default_acl": None,
        "querystring_auth": True,
        "file_overwrite": False,
        "location": query.pop("prefix", ""),
        "region_name": query.pop("region", "us-east-1"),
    }
    if query:
        raise ImproperlyConfigured(f"{name} has unknown options: {', '.join(sorted(query))}.")
    if parts.username:
        options |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password or "")}
    if parts.hostname:
        host = parts.netloc.rsplit("@", 1)[-1]
        options |= {
            "endpoint_url": f"{'https' if tls in TRUE_WORDS else 'http'}://{host}",
            "addressing_style": "path",
        }
    options |= _s3_patience("path" if parts.hostname else "auto")
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def _s3_patience(addressing: str) -> dict[str, object]:
    """How long one answer is waited for, how often one request is tried, and in what pieces objects are written.

    A store takes 10,000 pieces: 32 MB each let an object have 320 GB. At most two are held in memory and on the way.
    """
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    pieces = TransferConfig(multipart_threshold=32 * 2**20, multipart_chunksize=32 * 2**20, max_concurrency=2)
    pieces.max_in_memory_upload_chunks = 2
    patience = Config(
        s3={"addressing_style": addressing},
        signature_version="s3v4",
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 4},
        # Stores other than AWS refuse checksums in trailers; what is stored carries proofs of its own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return {"transfer_config": pieces, "client_config": patience}
