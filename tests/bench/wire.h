// What client and server of the load speak. The first byte of a connection chooses:
//   'E'  the server returns every byte, this one included;
//   'C'  frames follow, each a letter and a big-endian count N:
//        'S' the server takes N bytes, then answers with the count; 'D' the server sends N bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanyard::bench {

inline constexpr char kEcho = 'E';
inline constexpr char kFrames = 'C';
inline constexpr char kSink = 'S';
inline constexpr char kSource = 'D';

inline constexpr size_t kCountBytes = 8;
inline constexpr size_t kFrameBytes = 1 + kCountBytes;

// Bytes moved by one system call, at both ends.
inline constexpr size_t kChunkBytes = 128 * 1024;

inline void PutCount(char* out, uint64_t count) {
  for (size_t i = 0; i < kCountBytes; ++i) out[i] = static_cast<char>(count >> (8 * (kCountBytes - 1 - i)));
}

inline uint64_t GetCount(const char* in) {
  uint64_t count = 0;
  for (size_t i = 0; i < kCountBytes; ++i) count = (count << 8) | static_cast<unsigned char>(in[i]);
  return count;
}

}  // namespace lanyard::bench
