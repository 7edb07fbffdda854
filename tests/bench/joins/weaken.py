"""python tests/bench/joins/weaken.py LIBRARY VERSION: what an ELF library needs of a version of glibc is asked for weakly.

For a library that does without the functions of VERSION where there are none, and was linked as if it did not."""

import struct
import sys

VERSION_NEEDS = 0x6FFFFFFE
WEAK = 2


def main():
    path, wanted = sys.argv[1:]
    with open(path, "r+b") as library:
        data = bytearray(library.read())
        (sections_at,) = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, sections_at + number * size) for number in range(count)]
        for section in (section for section in sections if section[1] == VERSION_NEEDS):
            names, file_at = sections[section[6]][4], section[4]
            for _ in range(section[7]):
                _, versions, _, first, next_file = struct.unpack_from("<HHIII", data, file_at)
                at = file_at + first
                for _ in range(versions):
                    _, flags, _, name, step = struct.unpack_from("<IHHII", data, at)
                    if data[names + name : data.index(0, names + name)].decode() == wanted:
                        struct.pack_into("<H", data, at + 4, flags | WEAK)
                    at += step
                file_at += next_file
        library.seek(0)
        library.write(data)


main()
