"""Debian's HAProxy and nginx, by which the PROXY protocol is tried against programs of others."""

from kit import processes, sockets, waiting

_HAPROXY = """\
global
    log stdout format raw daemon info
defaults
    log global
    timeout connect 60s
    timeout client 60s
    timeout server 60s
"""
_NGINX = """\
daemon off; master_process off; worker_processes 1; error_log stderr; pid {folder}/nginx.pid;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {{ worker_connections 64; }}
{body}
"""
# For the http block: nothing outside the test's folder is written.
NGINX_PATHS = """access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
"""


def _wait_for(process, address, port, namespace):
    def listens():
        process.check_alive()
        try:
            sockets.connect(address, port, namespace).close()
            return True
        except OSError:
            return False
    waiting.until(listens, lambda: f"{process.name} does not listen:\n{process.tail()}")


def haproxy(scope, namespace, sections, address, port, name="haproxy"):
    """With these sections behind its global ones; waits until it listens at address:port."""
    path = scope.folder / f"{name}.cfg"
    path.write_text(_HAPROXY + sections)
    process = processes.Process(scope, name, ["/usr/sbin/haproxy", "-db", "-f", path], namespace)
    _wait_for(process, address, port, namespace)
    return process


def nginx(scope, namespace, body, address, port):
    """With this body behind its global lines; waits until it listens at address:port."""
    path = scope.folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=scope.folder, body=body))
    process = processes.Process(scope, "nginx", ["/usr/sbin/nginx", "-e", "stderr", "-c", path], namespace)
    _wait_for(process, address, port, namespace)
    return process
