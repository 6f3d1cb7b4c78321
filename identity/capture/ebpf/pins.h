// Where one network namespace's programs and maps are pinned: FOLDER = BPF_FS/lanyard/NETNS_COOKIE. The kernel never
// gives a cookie twice, so what a namespace that is gone left behind is never taken for another's.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/base/descriptor.h"

namespace lanyard {

// The pin that says whether the namespace of a folder still is: the attachment to the namespace itself.
inline constexpr char kNamespacePin[] = "steer";

// Holds BPF_FS/lanyard locked for as long as it lives: one command at a time changes what is pinned there.
class Pins {
 public:
  // How long another command is waited for.
  static constexpr int kLockWaitMs = 10'000;

  // FailedPrecondition without a BPF file system at `bpf_fs`, Unavailable when another command does not end.
  static absl::StatusOr<Pins> Lock(const std::string& bpf_fs, uint64_t netns_cookie);

  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }
  // Makes the folder; OK where it is.
  absl::Status MakeFolder() const;
  // Detaches what is pinned, removes every pin and the folder, and BPF_FS/lanyard with the last; OK where nothing is.
  absl::Status RemoveFolder() const;
  // The same for folders of namespaces that are gone, or whose command ended half-way.
  void RemoveWhatIsLeftOver() const;

 private:
  Pins(Descriptor root, std::string root_path, std::string folder)
      : root_(std::move(root)), root_path_(std::move(root_path)), folder_(std::move(folder)) {}

  Descriptor root_;  // locked
  std::string root_path_, folder_;
};

// An attachment is detached first: by itself it would be so some time after its last pin is gone.
void RemovePin(const std::string& path);

}  // namespace lanyard
