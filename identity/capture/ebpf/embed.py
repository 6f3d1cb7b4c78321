"""embed.py OBJECT SOURCE: writes a C++ source that holds the object's bytes (programs.h)."""

import sys


def main():
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    rows = [", ".join(str(byte) for byte in content[start:start + 24]) for start in range(0, len(content), 24)]
    with open(sys.argv[2], "w", encoding="ascii") as file:
        file.write('#include "identity/capture/ebpf/programs.h"\n\nnamespace lanyard {\n\n'
                   "alignas(8) const unsigned char kCapturePrograms[] = {\n    " + ",\n    ".join(rows) + "};\n"
                   "const size_t kCaptureProgramsSize = sizeof(kCapturePrograms);\n\n}  // namespace lanyard\n")


main()
