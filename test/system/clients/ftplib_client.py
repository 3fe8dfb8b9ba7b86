"""One deed with Python's ftplib: python3 ftplib_client.py SECURITY HOST PORT USER PASSWORD CA_FILE DEED ARGUMENTS...

FTPLIB_REUSE=1 resumes the control connection's TLS session on data connections, as strict servers demand.
Python 3.11's ftplib does not do so of its own accord. FTP_PASSIVE is PASV or EPSV. FTPLIB_TRANSFERS repeats the deed within one
session.
"""

import ftplib
import os
import socket
import ssl
import sys


class ReusingTls(ftplib.FTP_TLS):
    """FTP_TLS whose data connections resume the control connection's TLS session."""

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=self.sock.session)
            if not conn.session_reused:
                raise AssertionError("the server did not resume the TLS session")
        return conn, size


def implicit(base):
    """The same class, with TLS from the first byte."""

    class Implicit(base):
        @property
        def sock(self):
            return self._socket

        @sock.setter
        def sock(self, value):
            if value is not None and not isinstance(value, ssl.SSLSocket):
                value = self.context.wrap_socket(value, server_hostname=self.host)
            self._socket = value

    return Implicit


def connect(security, host, port, user, password, ca_file):
    if security == "plain":
        ftp = ftplib.FTP(timeout=60)
        ftp.connect(host, port)
        ftp.login(user, password)
        return ftp
    context = ssl.create_default_context(cafile=ca_file)
    base = ReusingTls if os.environ.get("FTPLIB_REUSE") == "1" else ftplib.FTP_TLS
    if security == "implicit":
        base = implicit(base)
    ftp = base(context=context, timeout=60)
    ftp.connect(host, port)
    ftp.login(user, password, secure=security == "explicit")
    ftp.prot_p()
    return ftp


def perform(ftp, deed, arguments):
    if deed == "put":
        with open(arguments[0], "rb") as file:
            ftp.storbinary(f"STOR {arguments[1]}", file)
    elif deed == "get":
        with open(arguments[1], "wb") as file:
            ftp.retrbinary(f"RETR {arguments[0]}", file.write)
    elif deed == "list":
        for name, _facts in ftp.mlsd(arguments[0]):
            print(name)
    elif deed == "resume-get":
        with open(arguments[1], "ab") as file:
            ftp.retrbinary(f"RETR {arguments[0]}", file.write, rest=file.tell())
    elif deed == "resume-put":
        ftp.voidcmd("TYPE I")
        offset = ftp.size(arguments[1])
        with open(arguments[0], "rb") as file:
            file.seek(offset)
            ftp.storbinary(f"STOR {arguments[1]}", file, rest=offset)
    elif deed == "rename":
        ftp.rename(arguments[0], arguments[1])
    elif deed == "delete":
        ftp.delete(arguments[0])
    else:
        raise SystemExit(f"unknown deed {deed}")


def choose_passive_mode(ftp, mode):
    # ftplib sends EPSV where it takes the server for one on IPv6.
    if mode == "EPSV":
        ftp.af = socket.AF_INET6
    elif mode == "PASV":
        ftp.trust_server_pasv_ipv4_address = True


def main():
    security, host, port, user, password, ca_file, deed, *arguments = sys.argv[1:]
    ftp = connect(security, host, int(port), user, password, ca_file)
    choose_passive_mode(ftp, os.environ.get("FTP_PASSIVE"))
    for _ in range(int(os.environ.get("FTPLIB_TRANSFERS", "1"))):
        perform(ftp, deed, arguments)
    ftp.quit()


main()
