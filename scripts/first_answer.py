"""Prints a curl line for POST /recall together with its answer; with --ready only says whether there would be one."""

import json
import sys
import urllib.error
import urllib.request

REQUEST = {"text": "web framework to build HTTP JSON APIs in python", "k": 5, "with_fields": ["title"]}


def main() -> int:
    """Asks the service at the URL on the command line."""
    *flags, url = sys.argv[1:]
    if flags == ["--ready"]:
        return ready(url)
    body = json.dumps(REQUEST)
    print("\nThe service is up. Ask it:\n")
    print(f"  curl -s {url}/recall -H 'Content-Type: application/json' -d '{body}'\n")
    request = urllib.request.Request(f"{url}/recall", body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        print(json.dumps(json.load(response), indent=2, ensure_ascii=False))
    print(f"\nDocumentation of every call: {url}/docs    Stop with Ctrl-C.", flush=True)
    return 0


def ready(url: str) -> int:
    """Returns exit code 0 once the service can answer."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return 0
    except (urllib.error.URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
