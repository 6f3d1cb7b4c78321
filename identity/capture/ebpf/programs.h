// programs.c as compiled for the BPF target: an ELF object, embedded by the build.
#pragma once

#include <cstddef>

namespace lanyard {

extern const unsigned char kCapturePrograms[];
extern const size_t kCaptureProgramsSize;

}  // namespace lanyard
