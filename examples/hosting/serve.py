"""Serve one release on PORT in front, from the settings of a backup: for a disaster drill, where no host runs.

    GONOGO_CONFIGURATION=FOLDER DATABASE_URL=... PORT=... python serve.py

Reads the service.env that the backup holds. The address of the database and the port are those of the drill.
"""

import os
import sys
from pathlib import Path

from home import Home, OpsError, need, short_digest

DRILLED = ("DATABASE_URL", "PORT")


def main() -> None:
    home = Home(Path(need("APP_HOME")).resolve())
    release = home.release(need("GONOGO_VERSION"), short_digest(need("GONOGO_BUILD_DIGEST")))
    found = sorted(Path(need("GONOGO_CONFIGURATION")).rglob("service.env"))
    if len(found) != 1:
        raise OpsError(f"The backup holds {len(found)} files service.env, and one was expected. Nothing was started.")
    settings = Home(found[0].parent).read_settings()
    settings = {name: value.replace("{RELEASE_DIR}", str(release)) for name, value in settings.items()}
    settings |= {name: need(name) for name in DRILLED}
    environment = {"PATH": os.defpath, "HOME": str(home.root), "LANG": "C.UTF-8", **settings}
    command = [str(release / "venv" / "bin" / "python"), "-m", "gunicorn", settings["WSGI_MODULE"]]
    command += ["--bind", f"127.0.0.1:{settings['PORT']}", "--workers", "1", "--threads", "4"]
    home.data.mkdir(parents=True, exist_ok=True)
    os.chdir(home.data)
    os.execve(command[0], command, environment)  # noqa: S606 - the drill ends this very process


if __name__ == "__main__":
    try:
        main()
    except (OpsError, OSError) as error:
        sys.exit(f"serve: {error}")
