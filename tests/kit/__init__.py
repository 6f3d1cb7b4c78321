"""Drives Lanyard's real binaries in network namespaces: the integration tests, the soak test.

binaries   where the binaries are
scope      what one test owns, and gives back whatever happens
waiting    waiting for a condition, with a deadline
processes  one process with its log
namespaces network namespaces joined by a veth pair
sockets    TCP servers and clients
certificates  right and wrong certificates, by the openssl command
mesh       authority, agents, proxies and capture on two nodes
proxy      one proxy with static listeners and an identity from files
pair       two such proxies on two nodes, without agents or capture
balancers  HAProxy and nginx, which speak the PROXY protocol
flow       one long connection whose every byte is checked
small_disk a disk that is easily full
shifted_clock a wall clock that can be set without setting the machine's
bad_link   a link that loses and reorders packets
crowd      very many connections from few processes
holdings   what a process holds, and whether a proxy gave back what it took
adversary  callers who mean no good, or cannot
"""
