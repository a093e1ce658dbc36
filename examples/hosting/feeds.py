"""Ask the running application for what other programs read of it; each must answer 200 with something in it.

python feeds.py PATH ...        on 127.0.0.1 at PORT
"""

import sys
import urllib.error
import urllib.request

from home import OpsError, need


def main(paths: list[str]) -> None:
    refused = []
    for path in paths:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{need('PORT')}{path}", timeout=60) as response:
                size = len(response.read())
                print(f"{path}: {response.status}, {size} bytes, {response.headers.get_content_type()}")
                if not size:
                    refused.append(path)
        except (urllib.error.URLError, TimeoutError) as error:
            print(f"{path}: {error}")
            refused.append(path)
    if refused:
        raise OpsError(f"{len(refused)} of {len(paths)} did not answer as they should: {', '.join(refused)}.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OpsError, OSError) as error:
        sys.exit(f"feeds: {error}")
