#include "identity/capture/outside.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr char kThisNamespace[] = "/proc/thread-self/ns/net";
constexpr char kFarInterface[] = "outside";
constexpr int kFarIndex = 1000;  // beyond those that come with a namespace

// The two ends' addresses.
struct Addresses {
  int family;
  uint8_t prefix_bits;
  const char* near;
  const char* far;
};
constexpr Addresses kIpv4 = {AF_INET, 30, "198.51.100.1", "198.51.100.2"};
constexpr Addresses kIpv6 = {AF_INET6, 126, "2001:db8:ffff::1", "2001:db8:ffff::2"};

const Addresses& Of(bool v6) { return v6 ? kIpv6 : kIpv4; }

std::string BytesOf(int family, const char* address) {
  char bytes[sizeof(in6_addr)] = {};
  inet_pton(family, address, bytes);
  return std::string(bytes, family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr));
}

// On a thread of its own: the namespace that a thread enters is nobody else's.
void Elsewhere(const std::function<void()>& work) { std::thread(work).join(); }

absl::Status Failed(absl::string_view what, int error_number) {
  if (error_number == EPERM || error_number == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, " needs CAP_SYS_ADMIN and CAP_NET_ADMIN (", strerrordesc_np(error_number), ")"));
  }
  if (error_number == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat("there is an interface ", kOutsideInterface,
                                                 " already, of another check that is under way"));
  }
  return absl::ErrnoToStatus(error_number, absl::StrCat(what, " failed"));
}

absl::Status Do(Netlink& netlink, const NetlinkRequest& request, absl::string_view what) {
  const absl::StatusOr<int> done = netlink.Do(request);
  if (!done.ok()) return done.status();
  return *done == 0 ? absl::OkStatus() : Failed(what, *done);
}

// Made from out there, with its near end in the namespace behind `near`.
NetlinkRequest NewPair(int near) {
  const ifinfomsg unspecified{};
  std::string peer(reinterpret_cast<const char*>(&unspecified), sizeof(unspecified));
  const uint32_t descriptor = static_cast<uint32_t>(near);
  peer += NetlinkAttribute(IFLA_IFNAME, kOutsideInterface);
  peer += NetlinkAttribute(IFLA_NET_NS_FD,
                           absl::string_view(reinterpret_cast<const char*>(&descriptor), sizeof(descriptor)));
  ifinfomsg far{};
  far.ifi_index = kFarIndex;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, far);
  request.Attribute(IFLA_IFNAME, kFarInterface);
  request.Attribute(IFLA_LINKINFO,
                    absl::StrCat(NetlinkAttribute(IFLA_INFO_KIND, "veth"),
                                 NetlinkAttribute(IFLA_INFO_DATA, NetlinkAttribute(VETH_INFO_PEER, peer))));
  return request;
}

NetlinkRequest BringUp(int interface) {
  ifinfomsg link{};
  link.ifi_index = interface;
  link.ifi_flags = link.ifi_change = IFF_UP;
  return NetlinkRequest(RTM_NEWLINK, NLM_F_ACK, link);
}

NetlinkRequest AddAddress(const Addresses& addresses, int interface, const char* address) {
  ifaddrmsg message{};
  message.ifa_family = static_cast<uint8_t>(addresses.family);
  message.ifa_prefixlen = addresses.prefix_bits;
  message.ifa_flags = addresses.family == AF_INET6 ? IFA_F_NODAD : 0;  // of use at once
  message.ifa_index = static_cast<uint32_t>(interface);
  const std::string bytes = BytesOf(addresses.family, address);
  NetlinkRequest request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, message);
  request.Attribute(IFA_LOCAL, bytes).Attribute(IFA_ADDRESS, bytes);
  return request;
}

// From out there everything is reached by way of the near end.
NetlinkRequest AddDefaultRoute(const Addresses& addresses) {
  rtmsg route{};
  route.rtm_family = static_cast<uint8_t>(addresses.family);
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_UNICAST;
  NetlinkRequest request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, route);
  request.Attribute(RTA_GATEWAY, BytesOf(addresses.family, addresses.near)).U32(RTA_OIF, kFarIndex);
  return request;
}

struct Place {
  Descriptor descriptor;
  std::optional<Netlink> netlink;
};

absl::StatusOr<Place> NewNamespace() {
  Place place;
  absl::Status status;
  Elsewhere([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      status = Failed("a network namespace to call from", errno);
      return;
    }
    place.descriptor.Reset(open(kThisNamespace, O_RDONLY | O_CLOEXEC));
    if (!place.descriptor.valid()) status = Failed("a network namespace to call from", errno);
    absl::StatusOr<Netlink> netlink = Netlink::Open();
    status.Update(netlink.status());
    if (netlink.ok()) place.netlink.emplace(*std::move(netlink));
  });
  if (!status.ok()) return status;
  return place;
}

}  // namespace

std::string Outside::NearAddress(bool v6) { return Of(v6).near; }

absl::StatusOr<std::unique_ptr<Outside>> Outside::Open(bool v6) {
  absl::StatusOr<Netlink> here = Netlink::Open();
  if (!here.ok()) return here.status();
  std::unique_ptr<Outside> outside(new Outside(v6, *std::move(here)));
  if (const absl::Status joined = outside->Join(); !joined.ok()) return joined;
  return outside;
}

absl::Status Outside::Join() {
  absl::StatusOr<Place> far = NewNamespace();
  if (!far.ok()) return far.status();
  namespace_ = std::move(far->descriptor);
  const Descriptor here(open(kThisNamespace, O_RDONLY | O_CLOEXEC));
  if (!here.valid()) return Failed("this network namespace", errno);
  absl::Status status = Do(*far->netlink, NewPair(here.get()), "a pair of interfaces to call by");
  if (!status.ok()) return status;
  interface_ = if_nametoindex(kOutsideInterface);
  const Addresses& addresses = Of(v6_);
  const int near = static_cast<int>(interface_);
  const std::pair<Netlink*, NetlinkRequest> steps[] = {
      {&*far->netlink, BringUp(kFarIndex)},
      {&here_, BringUp(near)},
      {&here_, AddAddress(addresses, near, addresses.near)},
      {&*far->netlink, AddAddress(addresses, kFarIndex, addresses.far)},
      {&*far->netlink, AddDefaultRoute(addresses)},
  };
  for (const auto& [netlink, request] : steps) {
    if (status = Do(*netlink, request, "setting up the interfaces to call by"); !status.ok()) return status;
  }
  return absl::OkStatus();
}

Outside::~Outside() {
  if (interface_ == 0) return;
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(interface_);
  here_.Do(NetlinkRequest(RTM_DELLINK, NLM_F_ACK, link)).IgnoreError();  // else it goes with its other end
}

absl::StatusOr<Descriptor> Outside::Socket() const {
  Descriptor fd;
  int error_number = 0;
  Elsewhere([&] {
    if (setns(namespace_.get(), CLONE_NEWNET) == 0) {
      fd.Reset(socket(Of(v6_).family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    }
    if (!fd.valid()) error_number = errno;
  });
  if (!fd.valid()) return Failed("a socket to call from", error_number);
  return fd;
}

}  // namespace lanyard
