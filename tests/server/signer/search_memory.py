"""Run as a program: is an authority's private key in the memory of these processes?

`search_memory.py KEYS_FILE PID...` prints for each PID a line "PID found" or "PID absent". It is a
process of its own, so that reading the key does not put it where it is searched for.
"""

import base64
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key


def needles(keys_file: Path) -> list[bytes]:
    """The private scalars as OpenSSL, PKCS#8 and the keys file hold them."""
    found = []
    for entry in json.loads(keys_file.read_text())["authorities"]:
        der = base64.b64decode(entry["private_key"])
        key = load_der_private_key(der, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        found += [scalar, scalar[::-1], entry["private_key"].encode()]
    return found


def contains(pid: int, wanted: list[bytes]) -> bool:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights, *rest = line.split()
            if "r" not in rights or rest[-1] in {"[vvar]", "[vsyscall]", "[vvar_vclock]"}:
                continue
            start, end = (int(part, 16) for part in addresses.split("-"))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            if any(each in data for each in wanted):
                return True
    return False


if __name__ == "__main__":
    secrets = needles(Path(sys.argv[1]))
    for argument in sys.argv[2:]:
        sys.stdout.write(
            f"{argument} {'found' if contains(int(argument), secrets) else 'absent'}\n"
        )
