"""pyftpdlib on a folder, in a process of its own. Arguments: control port, folder, passive ports."""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

port, root, *passive_ports = sys.argv[1:]
logging.basicConfig(level=logging.ERROR)
authorizer = DummyAuthorizer()
authorizer.add_user("bench", "bench", root, perm="elradfmwMT")
FTPHandler.authorizer = authorizer
FTPHandler.passive_ports = [int(passive) for passive in passive_ports]
server = FTPServer(("0.0.0.0", int(port)), FTPHandler)
server.max_cons = 20000
server.max_cons_per_ip = 0
server.backlog = 4096
server.serve_forever()
