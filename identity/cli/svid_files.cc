#include "identity/cli/svid_files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "identity/base/atomic_file.h"
#include "identity/base/secret.h"

namespace lanyard {

absl::Status WriteSvidFiles(const std::string& directory, const X509Svid& svid, const X509Bundle& bundle) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat("the folder ", directory, " cannot be made: ", strerror(errno),
                                                      "; name one that you may write to"));
  }
  // What a new SVID is verified by comes before it.
  absl::Status status = WriteFileAtomically(directory + "/bundle.pem", bundle.ToPem(), 0644);
  if (!status.ok()) return status;
  const Secret key = svid.key().ExportPkcs8Pem();
  status = WriteFileAtomically(directory + "/key.pem", key.text(), 0600);
  if (!status.ok()) return status;
  return WriteFileAtomically(directory + "/svid.pem", svid.ChainPem(), 0644);
}

}  // namespace lanyard
