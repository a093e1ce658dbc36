"""Becomes Locust, in its own environment and in a process of its own. Usage: launch.py CONFIG RECORD (two files).

The keys of CONFIG, which is JSON, are those of ``checks.tools.loading.driving.Job.config``; the record is written to
RECORD, in the lines that generator.py tells of.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

GENERATOR = Path(__file__).with_name("generator.py")
#: Where the generator reads its configuration; a copy for other machines has it in itself.
READS = 'json.loads(Path(os.environ["GONOGO_LOAD_CONFIG"]).read_text(encoding="utf-8"))'


def arguments(config: dict[str, Any], generator: Path, record: Path) -> list[str]:
    """Locust's command line. Our generator is its first locustfile, the application's own the second."""
    files = [str(generator), *([str(config["locustfile"])] if config["locustfile"] else [])]
    argv = ["locust", "--headless", "--only-summary", "-f", ",".join(files), "--host", str(config["host"])]
    argv += ["--stop-timeout", "2", "--exit-code-on-error", "0", "--loglevel", "WARNING"]
    argv += ["--json-file", f"{record}.rounded"]  # instead of its tables in our log
    if workers := config["workers"]:
        argv += ["--master", "--master-bind-host", workers["listen"], "--master-bind-port", str(workers["port"])]
        argv += ["--expect-workers", str(workers["expected"]), "--expect-workers-max-wait", str(workers["wait"])]
    elif config["port"]:
        port = str(config["port"])
        argv += ["--processes", str(config["processes"]), "--master-bind-host", "127.0.0.1"]
        argv += ["--master-bind-port", port, "--master-port", port]
    return argv


def with_config(text: str, target: Path) -> Path:
    """A copy of the generator that needs no other file, for the workers that ask the master for it."""
    source = GENERATOR.read_text(encoding="utf-8")
    if source.count(READS) != 1:
        raise SystemExit("The generator does not read its configuration where it did.")
    target.write_text(source.replace(READS, f"json.loads({text!r})"), encoding="utf-8")
    return target


def main(config_file: str, record_file: str) -> None:
    text = Path(config_file).read_text(encoding="utf-8")
    config = json.loads(text)
    generator = with_config(text, Path(f"{record_file}.py")) if config["workers"] else GENERATOR
    os.environ |= {"GONOGO_LOAD_CONFIG": config_file, "GONOGO_LOAD_RECORD": record_file}
    sys.argv = arguments(config, generator, Path(record_file))
    from locust.main import main as locust

    sys.exit(locust())


if __name__ == "__main__":
    main(*sys.argv[1:])
