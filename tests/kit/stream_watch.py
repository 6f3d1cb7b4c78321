"""What /connections of the two proxies of a mesh says of long-lived streams, from one look to the next."""

import datetime

# Between a look at the clock and the proxy's answer, or the timer that would have ended it.
_SLACK = datetime.timedelta(seconds=1)


class StreamWatch:
    def __init__(self, mesh):
        self._proxies = [mesh.client.proxy, mesh.server.proxy]
        self._serials = [{}, {}]  # of the peer's SVIDs, by connection
        self._open = [0, 0]
        self.expired, self.looks = [], 0

    def look(self):
        self.looks += 1
        for number, proxy in enumerate(self._proxies):
            now = datetime.datetime.now(datetime.timezone.utc)  # before it is asked: we may be late with its answer
            streams = [record for record in proxy.connections()
                       if record["state"] == "relaying" and record["protocol"] == "lanyard/1"]
            self._open[number] = len(streams)
            for record in streams:
                expiry = datetime.datetime.fromisoformat(record["peer_not_after"].replace("Z", "+00:00"))
                if expiry + _SLACK < now:
                    self.expired.append(f"{proxy.process.name} at {now}: {record}")
                self._serials[number].setdefault(record["id"], set()).add(record["peer_serial"])

    def open(self):
        """Streams, at the last look."""
        return min(self._open)

    def _counts(self):
        return [len(serials) - 1 for each in self._serials for serials in each.values()] or [0]

    def least(self):
        """How often the peer of each stream, at either proxy, has shown another SVID; the least of them."""
        return min(self._counts())

    def most(self):
        return max(self._counts())

    def put_off(self):
        return self._proxies[0].metric("lanyard_proxy_carry_overs_put_off_total")
