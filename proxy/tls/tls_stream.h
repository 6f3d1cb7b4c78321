// A Stream over a Stream: TLS 1.3 by BoringSSL between the two.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "absl/status/status.h"
#include "proxy/io/buffer_pool.h"
#include "proxy/io/stream.h"

namespace lanyard {

inline constexpr size_t kMaxRecordBytes = 16384;  // of plaintext, RFC 8446 section 5.1

// Parts of an open TlsStream, to be put together again on another thread.
struct TlsParts {
  std::unique_ptr<Stream> lower;  // without an observer
  bssl::UniquePtr<SSL> ssl;
  std::string received;           // ciphertext that BoringSSL has not seen
  std::string unsent;             // ciphertext that the stream below has not taken
};

// BoringSSL reads and writes through buffers of this object: one large read of the stream below feeds
// several records, several records leave in one write, and a small one goes straight down. The blocks
// are borrowed while bytes are in them, so that an idle connection holds none.
//
// A half-close is a close_notify each way (RFC 8446 section 6.1); the stream below ending without
// one is StreamError::kTruncated. Key updates are answered by BoringSSL. Belongs to one loop's thread.
class TlsStream : public Stream, private StreamObserver {
 public:
  // `ssl` from TlsContext::NewServer or NewClient; `pool` is borrowed.
  TlsStream(std::unique_ptr<Stream> lower, bssl::UniquePtr<SSL> ssl, BufferPool* pool);
  ~TlsStream() override;

  // Takes an open stream apart; it is dead then. Null `ssl`: it was not open, or had ended or failed.
  TlsParts Release();
  // An open stream again; its bytes must fit into blocks of `pool`, as they did where it was taken apart.
  static std::unique_ptr<TlsStream> Rebuild(TlsParts parts, BufferPool* pool);

  // Bytes that were read from the stream below before this one stood over it. Before the first Open.
  void Prepend(Buffer& received) { in_.Adopt(received); }

  // The handshake. A client's last flight leaves with what is written next, or at the next
  // call of any kind: nobody need know of an identity that the caller refuses now.
  IoResult Open() override;
  IoResult Read(absl::Span<uint8_t> into) override;
  IoResult Write(absl::Span<const uint8_t> from) override;
  // One record of at most kMaxRecordBytes: taken whole, or (kWouldBlock) not at all. With `more` it waits here, as far
  // as there is room, to leave in one system call with what is written next; at the latest when the stream is ready.
  IoResult WriteRecord(absl::Span<const uint8_t> record, bool more);
  IoResult Flush() override;
  IoResult ShutdownWrite() override;
  void Reset() override;
  // Tells the peer by an access_denied alert that it is not welcome, then resets.
  void Refuse();

  StreamError error() const override { return error_; }
  std::string error_text() const override { return error_text_; }
  const SSL* ssl() const { return ssl_.get(); }

 private:
  friend struct TlsBio;  // BoringSSL's way to the stream below

  void OnReady() override;
  // More ciphertext for an empty `in_`, by one read of the stream below, or none while that has nothing to say.
  IoStatus Fill();
  int BioRead(BIO* bio, absl::Span<uint8_t> into);
  int BioWrite(BIO* bio, absl::Span<const uint8_t> from);
  IoResult FlushOut();
  // Turns the outcome of an SSL call that did not succeed into a result.
  IoResult Settle(int returned);
  IoResult Fail(StreamError error, std::string text);
  IoResult FailOfTls();
  IoResult FailOfLower();
  IoResult Failed() const { return {IoStatus::kError}; }

  std::unique_ptr<Stream> lower_;
  bssl::UniquePtr<SSL> ssl_;
  Buffer in_;    // ciphertext received, not yet taken by BoringSSL
  Buffer out_;   // ciphertext made, not yet taken by the stream below
  StreamError error_ = StreamError::kNone;
  bool open_ = false;
  bool corked_ = true;       // ciphertext gathers in out_
  bool gathering_ = false;   // the last record said that more comes
  bool wrote_ = false;
  bool lower_drained_ = false;  // the stream below had nothing, and has not spoken since
  bool lower_ended_ = false;
  bool lower_failed_ = false;
  bool ended_ = false;       // close_notify received
  bool closed_ = false;      // close_notify made
  std::string error_text_;
};

}  // namespace lanyard
