"""Load for small-files.ts: one session that moves many small files, with blocking sockets and nothing else, so that the
server is what is measured. Arguments: host, port, user, password, direction (STOR or RETR), files, bytes per file.
Prints the seconds that the files took."""

import socket
import sys
import time

host, port, user, password, direction, files, size = sys.argv[1:]
payload = b"x" * int(size)
control = socket.create_connection((host, int(port)))
control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
replies = control.makefile("rb")


def reply(*codes):
    line = replies.readline()
    while line[3:4] == b"-":
        line = replies.readline()
    if line[:3] not in codes:
        sys.exit(f"expected {codes}, got {line!r}")
    return line


def command(line, *codes):
    control.sendall(line + b"\r\n")
    return reply(*codes)


def data_connection():
    line = command(b"EPSV", b"229")
    return socket.create_connection((host, int(line.split(b"|")[3])))


reply(b"220")
command(b"USER " + user.encode(), b"331")
command(b"PASS " + password.encode(), b"230")
command(b"TYPE I", b"200")
started = time.perf_counter()
for index in range(int(files)):
    data = data_connection()
    command(b"%s small-%d" % (direction.encode(), index), b"150", b"125")
    if direction == "STOR":
        data.sendall(payload)
        data.close()
    else:
        received = 0
        while piece := data.recv(65536):
            received += len(piece)
        data.close()
        if received != len(payload):
            sys.exit(f"{received} bytes of {len(payload)} came")
    reply(b"226")
print(time.perf_counter() - started)
