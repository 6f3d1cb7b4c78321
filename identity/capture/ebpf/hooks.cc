#include "identity/capture/ebpf/hooks.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "identity/base/descriptor.h"
#include "identity/capture/ebpf/pins.h"
#include "identity/capture/ebpf/programs.h"
#include "identity/capture/listening_sockets.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace lanyard {
namespace {

// Programs, each attached and pinned under its own name, in this order: what redirects comes last, when all that a
// redirected connection needs is there.
constexpr const char* kAttached[] = {"answer",   "getpeername4", "getpeername6", "post_bind4", "post_bind6",
                                     "sock_ops", kNamespacePin,  "connect4",     "connect6"};
// Maps that the next set of programs goes on with.
constexpr const char* kSharedMaps[] = {"dialled", "arriving", "within", "proxy_bound", "listeners", "counters"};
constexpr char kWordsPin[] = "words";
constexpr char kNewWordsPin[] = "words_new";
// Sockets may open and close while they are looked at.
constexpr int kEnlistTries = 4;

constexpr const char* kCounterNames[BPF_COUNTERS] = {"outbound_captured", "inbound_captured", "inbound_without_proxy",
                                                     "capture_port_dialled", "listeners_beyond_limit"};

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

// What was done is undone, the last thing first, unless Keep() is called.
class Undo {
 public:
  ~Undo() {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)();
  }
  void Add(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void Keep() { steps_.clear(); }

 private:
  std::vector<std::function<void()>> steps_;
};

// libbpf's own words, of which the first complaint says most.
std::string& FirstComplaint() {
  static auto& complaint = *new std::string();
  return complaint;
}

int TakeComplaint(libbpf_print_level level, const char* format, va_list arguments) {
  char line[512];
  if (level != LIBBPF_WARN || !FirstComplaint().empty()) return 0;
  vsnprintf(line, sizeof(line), format, arguments);
  const absl::string_view text = line;
  FirstComplaint() = std::string(absl::StripPrefix(text.substr(0, text.find('\n')), "libbpf: "));
  return 0;
}

bool MayUseBpf() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  const auto has = [&data](uint32_t capability) {
    return (data[capability / 32].effective & (1u << (capability % 32))) != 0;
  };
  return has(CAP_NET_ADMIN) && (has(CAP_BPF) || has(CAP_SYS_ADMIN));
}

absl::Status NotPermitted() {
  return absl::PermissionDeniedError(
      "capture by eBPF needs CAP_BPF and CAP_NET_ADMIN of the machine, not of a user namespace: run this as root; "
      "nothing was changed");
}

absl::Status KernelRefuses(int error, absl::string_view what) {
  if (error == EPERM && !MayUseBpf()) return NotPermitted();
  utsname kernel = {};
  uname(&kernel);
  return absl::FailedPreconditionError(absl::StrCat(
      "this kernel (", kernel.release, ") refuses ", what, " of capture by eBPF (", strerror(error),
      FirstComplaint().empty() ? "" : ": ", FirstComplaint(),
      "), which needs Linux 5.17 or newer with CONFIG_CGROUP_BPF; use --mode redirect or tproxy; nothing was changed"));
}

absl::StatusOr<uint64_t> NetnsCookie() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return absl::ErrnoToStatus(errno, "socketpair");
  const Descriptor one(ends[0]), other(ends[1]);
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (getsockopt(one.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return KernelRefuses(errno, "the network namespace's cookie");
  }
  return cookie;
}

std::vector<Cidr> OwnAddresses() {
  std::vector<Cidr> own;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return own;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const void* address = nullptr;
    if (entry->ifa_addr->sa_family == AF_INET) {
      address = &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr;
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      address = &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr;
    } else {
      continue;
    }
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(entry->ifa_addr->sa_family, address, text, sizeof(text)) == nullptr) continue;
    if (const absl::StatusOr<Cidr> cidr = Cidr::Parse(text); cidr.ok()) own.push_back(*cidr);
  }
  freeifaddrs(list);
  return own;
}

int MapOf(const Object& object, const char* name) { return bpf_object__find_map_fd_by_name(object.get(), name); }

int ProgramOf(const Object& object, const char* name) {
  return bpf_program__fd(bpf_object__find_program_by_name(object.get(), name));
}

// Loads every program past the kernel's verifier. The shared maps are those of the set before, where there is one.
absl::StatusOr<Object> Load(const Pins& pins) {
  FirstComplaint().clear();
  libbpf_set_print(TakeComplaint);
  bpf_object_open_opts options = {};
  options.sz = sizeof(options);
  options.object_name = "lanyard";
  Object object(bpf_object__open_mem(kCapturePrograms, kCaptureProgramsSize, &options));
  if (object == nullptr) return KernelRefuses(errno, "the programs");
  for (const char* name : kSharedMaps) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
    if (const int error = bpf_map__set_pin_path(map, pins.PathOf(name).c_str()); error != 0) {
      return KernelRefuses(-error, name);
    }
  }
  if (const int error = bpf_object__load(object.get()); error != 0) {
    return KernelRefuses(-error, "the programs");
  }
  return object;
}

absl::Status Fill(const Object& object, const EbpfTables& tables) {
  const uint32_t only = 0;
  const uint8_t there = 1;
  bool ok = bpf_map_update_elem(MapOf(object, "rules"), &only, &tables.rules, BPF_ANY) == 0;
  const std::pair<const char*, const std::vector<BpfNetwork>*> networks[] = {
      {"included", &tables.included}, {"excluded", &tables.excluded}, {"own", &tables.own}};
  for (const auto& [map, list] : networks) {
    for (const BpfNetwork& network : *list) {
      ok = ok && bpf_map_update_elem(MapOf(object, map), &network, &there, BPF_ANY) == 0;
    }
  }
  for (const EbpfTables::Party& party : tables.parties) {
    ok = ok && bpf_map_update_elem(MapOf(object, "parties"), &party.who, &party.sides, BPF_ANY) == 0;
  }
  return ok ? absl::OkStatus() : KernelRefuses(errno, "the tables");
}

absl::Status PinWords(const std::string& words, const Pins& pins, Undo& undo) {
  const uint32_t only = 0;
  const Descriptor map(bpf_map_create(BPF_MAP_TYPE_ARRAY, kWordsPin, sizeof(only), words.size() + 1, 1, nullptr));
  const std::string path = pins.PathOf(kNewWordsPin);
  RemovePin(path);  // of a command that ended half-way
  if (!map.valid() || bpf_map_update_elem(map.get(), &only, words.c_str(), BPF_ANY) != 0 ||
      bpf_obj_pin(map.get(), path.c_str()) != 0) {
    return KernelRefuses(errno, "the notes");
  }
  undo.Add([path] { RemovePin(path); });
  return absl::OkStatus();
}

absl::StatusOr<bpf_link_info> InfoOf(const Descriptor& link) {
  bpf_link_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return KernelRefuses(errno, "an attachment's state");
  return info;
}

// Puts the program in the place of the one that is attached there.
absl::Status Replace(const char* name, Descriptor link, int program, uint64_t cgroup_id, Undo& undo) {
  const absl::StatusOr<bpf_link_info> info = InfoOf(link);
  if (!info.ok()) return info.status();
  if (info->type == BPF_LINK_TYPE_CGROUP && info->cgroup.cgroup_id != cgroup_id) {
    return absl::FailedPreconditionError(
        "capture by eBPF is up at another cgroup2 mount: run `lanyard capture down` first; nothing was changed");
  }
  const auto before = std::make_shared<Descriptor>(bpf_prog_get_fd_by_id(info->prog_id));
  if (!before->valid() || bpf_link_update(link.get(), program, nullptr) != 0) return KernelRefuses(errno, name);
  const auto kept = std::make_shared<Descriptor>(std::move(link));
  undo.Add([before, kept] { bpf_link_update(kept->get(), before->get(), nullptr); });
  return absl::OkStatus();
}

absl::Status Attach(const Object& object, const char* name, const Pins& pins, const Descriptor& cgroup,
                    uint64_t cgroup_id, const Descriptor& netns, Undo& undo) {
  const bpf_program* program = bpf_object__find_program_by_name(object.get(), name);
  const std::string path = pins.PathOf(name);
  if (Descriptor there(bpf_obj_get(path.c_str())); there.valid()) {
    return Replace(name, std::move(there), bpf_program__fd(program), cgroup_id, undo);
  }
  const bool to_namespace = absl::string_view(name) == kNamespacePin;
  const Descriptor link(bpf_link_create(bpf_program__fd(program), to_namespace ? netns.get() : cgroup.get(),
                                        bpf_program__expected_attach_type(program), nullptr));
  if (!link.valid() && errno == E2BIG) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the kernel attaches no further program to this machine's cgroups (", name,
        "): 64 is its limit, and every network namespace with capture by eBPF takes one; nothing was changed"));
  }
  if (!link.valid() || bpf_obj_pin(link.get(), path.c_str()) != 0) {
    return KernelRefuses(errno, absl::StrCat("the attachment ", name));
  }
  undo.Add([path] { RemovePin(path); });
  return absl::OkStatus();
}

void EnlistAt(const Object& object, const BpfNetwork& address) {
  __sk_buff context = {};
  context.cb[0] = address.family;
  memcpy(&context.cb[1], address.address, sizeof(address.address));
  const uint8_t frame[64] = {};
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = frame;
  options.data_size_in = sizeof(frame);
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  bpf_prog_test_run_opts(ProgramOf(object, "enlist"), &options);
}

absl::StatusOr<std::vector<ListeningSocket>> SocketsOfProxy(const BpfRules& rules) {
  absl::StatusOr<std::vector<ListeningSocket>> sockets = ListListeningSockets(rules.inbound_port);
  if (!sockets.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel does not tell whose sockets listen (", sockets.status().message(),
                     "), for which capture by eBPF needs CONFIG_INET_TCP_DIAG; nothing was changed"));
  }
  const auto is_others = [&rules](const ListeningSocket& socket) { return socket.uid != rules.proxy_uid; };
  sockets->erase(std::remove_if(sockets->begin(), sockets->end(), is_others), sockets->end());
  return sockets;
}

// Where a socket is found: one of every address, at loopback.
BpfNetwork AddressOf(const ListeningSocket& socket) {
  const bool any_v4 = socket.address == "0.0.0.0", any_v6 = socket.address == "::";
  return NetworkOf(*Cidr::Parse(any_v4 ? "127.0.0.1" : any_v6 ? "::1" : socket.address));
}

// The cookies of who is enlisted, each at its place; 0: the place is free.
std::vector<uint64_t> EnlistedIn(int listeners) {
  std::vector<uint64_t> cookies(BPF_LISTENERS);
  for (uint32_t place = 0; place < BPF_LISTENERS; ++place) {
    if (bpf_map_lookup_elem(listeners, &place, &cookies[place]) != 0) cookies[place] = 0;
  }
  return cookies;
}

// True if there were none.
bool RemoveOthers(int listeners, const std::vector<uint64_t>& enlisted, const std::vector<ListeningSocket>& of_proxy) {
  bool none = true;
  for (uint32_t place = 0; place < BPF_LISTENERS; ++place) {
    const auto is_it = [cookie = enlisted[place]](const ListeningSocket& socket) { return socket.cookie == cookie; };
    if (enlisted[place] == 0 || std::any_of(of_proxy.begin(), of_proxy.end(), is_it)) continue;
    bpf_map_delete_elem(listeners, &place);
    none = false;
  }
  return none;
}

// A proxy that listens already. None is no error: it is found when it starts to. What is looked up by address and port
// may be another's by then; a cookie says whose it is.
absl::Status EnlistListeners(const Object& object, const BpfRules& rules) {
  const int listeners = MapOf(object, "listeners");
  for (int tries = 0; tries < kEnlistTries; ++tries) {
    const absl::StatusOr<std::vector<ListeningSocket>> before = SocketsOfProxy(rules);
    if (!before.ok()) return before.status();
    for (const ListeningSocket& socket : *before) EnlistAt(object, AddressOf(socket));
    const std::vector<uint64_t> enlisted = EnlistedIn(listeners);
    const absl::StatusOr<std::vector<ListeningSocket>> after = SocketsOfProxy(rules);
    if (!after.ok()) return after.status();
    if (RemoveOthers(listeners, enlisted, *after)) return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat("sockets of others than the proxy's user listen on port ", rules.inbound_port,
                   " again and again: end their processes (`ss -tlnp` shows them) and try again; nothing was changed"));
}

absl::StatusOr<Descriptor> OpenCgroupRoot(const std::string& path) {
  Descriptor cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statfs what = {};
  if (!cgroup.valid() || fstatfs(cgroup.get(), &what) != 0 ||
      static_cast<uint32_t>(what.f_type) != uint32_t{CGROUP2_SUPER_MAGIC}) {
    return absl::FailedPreconditionError(
        absl::StrCat("no cgroup2 file system is mounted at ", path, ", to whose processes capture by eBPF is attached: "
                     "in a container mount the machine's there; nothing was changed"));
  }
  return cgroup;
}

absl::Status AttachAll(const Object& object, const BpfRules& rules, const Pins& pins, const Descriptor& cgroup,
                       Undo& undo) {
  struct stat cgroup_stat = {};
  if (fstat(cgroup.get(), &cgroup_stat) != 0) return absl::ErrnoToStatus(errno, "reading the cgroup2 mount failed");
  const Descriptor netns(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns.valid()) return absl::ErrnoToStatus(errno, "opening /proc/thread-self/ns/net failed");
  for (const char* name : kAttached) {
    if (absl::string_view(name) == kNamespacePin) {
      if (absl::Status enlisted = EnlistListeners(object, rules); !enlisted.ok()) return enlisted;
    }
    const absl::Status attached = Attach(object, name, pins, cgroup, cgroup_stat.st_ino, netns, undo);
    if (!attached.ok()) return attached;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EbpfSurroundings> SurveySurroundings(const std::string& cgroup_root) {
  const absl::StatusOr<uint64_t> cookie = NetnsCookie();
  if (!cookie.ok()) return cookie.status();
  const auto cgroup_id = [cgroup_root](const Cgroup& cgroup) -> absl::StatusOr<uint64_t> {
    struct stat found = {};
    const std::string path = absl::StrCat(cgroup_root, "/", cgroup.ToString());
    if (stat(path.c_str(), &found) != 0) return absl::NotFoundError(absl::StrCat("there is no cgroup ", path));
    return found.st_ino;  // is the cgroup's ID
  };
  return EbpfSurroundings{.netns_cookie = *cookie, .own_addresses = OwnAddresses(), .cgroup_id = cgroup_id};
}

absl::Status RaiseHooks(const EbpfTables& tables, const std::string& words, const EbpfPlaces& places) {
  if (!MayUseBpf()) return NotPermitted();
  const absl::StatusOr<Descriptor> cgroup = OpenCgroupRoot(places.cgroup_root);
  if (!cgroup.ok()) return cgroup.status();
  const absl::StatusOr<Pins> pins = Pins::Lock(places.bpf_fs, tables.rules.netns_cookie);
  if (!pins.ok()) return pins.status();
  pins->RemoveWhatIsLeftOver();
  Undo undo;
  if (access(pins->PathOf(kWordsPin).c_str(), F_OK) != 0) {  // nothing was in force
    undo.Add([&pins] { pins->RemoveFolder().IgnoreError(); });
  }
  absl::Status status = pins->MakeFolder();
  if (!status.ok()) return status;
  const absl::StatusOr<Object> object = Load(*pins);
  if (!object.ok()) return object.status();
  status = Fill(*object, tables);
  if (status.ok()) status = PinWords(words, *pins, undo);
  if (status.ok()) status = AttachAll(*object, tables.rules, *pins, *cgroup, undo);
  if (!status.ok()) return status;
  if (rename(pins->PathOf(kNewWordsPin).c_str(), pins->PathOf(kWordsPin).c_str()) != 0) {
    return absl::ErrnoToStatus(errno, "pinning the notes failed, and nothing was changed");
  }
  undo.Keep();
  return absl::OkStatus();
}

absl::Status LowerHooks(const EbpfPlaces& places) {
  const absl::StatusOr<uint64_t> cookie = NetnsCookie();
  if (!cookie.ok()) return cookie.status();
  // Locking makes a folder: not for nothing.
  if (access(absl::StrCat(places.bpf_fs, "/lanyard").c_str(), F_OK) != 0 && errno == ENOENT) return absl::OkStatus();
  if (!MayUseBpf()) return NotPermitted();
  const absl::StatusOr<Pins> pins = Pins::Lock(places.bpf_fs, *cookie);
  if (!pins.ok()) return pins.status();
  // What redirects goes first.
  for (auto name = std::rbegin(kAttached); name != std::rend(kAttached); ++name) RemovePin(pins->PathOf(*name));
  return pins->RemoveFolder();
}

absl::StatusOr<HooksInForce> FindHooks(const EbpfPlaces& places) {
  const absl::StatusOr<uint64_t> cookie = NetnsCookie();
  if (!cookie.ok()) return cookie.status();
  const std::string folder = absl::StrCat(places.bpf_fs, "/lanyard/", *cookie, "/");
  const std::string path = absl::StrCat(folder, kWordsPin);
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return absl::NotFoundError("no capture by eBPF");
  if (!MayUseBpf()) return NotPermitted();
  const Descriptor words(bpf_obj_get(path.c_str()));
  if (!words.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path, " failed"));
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  const uint32_t only = 0;
  HooksInForce found;
  if (bpf_obj_get_info_by_fd(words.get(), &info, &size) != 0) return KernelRefuses(errno, "the notes");
  found.words.resize(info.value_size);
  if (bpf_map_lookup_elem(words.get(), &only, found.words.data()) != 0) return KernelRefuses(errno, "the notes");
  found.words.resize(strnlen(found.words.data(), found.words.size()));
  const Descriptor counters(bpf_obj_get(absl::StrCat(folder, "counters").c_str()));
  for (uint32_t index = 0; index < BPF_COUNTERS; ++index) {
    uint64_t count = 0;
    if (bpf_map_lookup_elem(counters.get(), &index, &count) != 0) return KernelRefuses(errno, "the counters");
    found.counters.emplace_back(kCounterNames[index], count);
  }
  return found;
}

}  // namespace lanyard
