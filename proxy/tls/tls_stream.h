// A Stream over a Stream: TLS 1.3 by BoringSSL between the two.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "absl/status/status.h"
#include "proxy/io/buffer_pool.h"
#include "proxy/io/stream.h"
#include "proxy/tls/tls_records.h"

namespace lanyard {

// Parts of an open TlsStream, to be put together again on another thread.
struct TlsParts {
  std::unique_ptr<Stream> lower;  // without an observer
  bssl::UniquePtr<SSL> ssl;
  std::unique_ptr<TlsRecords> records;  // null: BoringSSL still reads and writes them
  size_t opened_bytes = 0;        // plaintext at the front of `received`
  std::string received;           // that nobody has read
  std::string unsent;             // ciphertext that the stream below has not taken
};

// One large read of the stream below feeds several records, several records leave in one write. The blocks are
// borrowed while bytes are in them, so that an idle connection holds none; what has come of an incomplete record is
// kept apart.
//
// BoringSSL shakes hands, and carries data until a record with some has gone each way: by then both sides' session
// tickets are through. From there on TlsRecords opens and seals in place, and BoringSSL's connection only tells who the
// peer is; nothing that it might still say reaches the stream below.
//
// A half-close is a close_notify each way (RFC 8446 section 6.1); the stream below ending without
// one is StreamError::kTruncated. Key updates are answered. Belongs to one loop's thread.
class TlsStream : public Stream, private StreamObserver {
 public:
  // A Read that has data takes no more records than this: when they are small, others are to have their turn too.
  static constexpr int kRecordsPerRead = 64;
  // Session tickets of a server; honest ones send a few.
  static constexpr size_t kMaxTickets = 32;

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
  IoResult WriteRecord(absl::Span<const uint8_t> record, bool more) { return WriteRecord({}, record, more); }
  // The same of `head` and `body` in one record, without joining them first.
  IoResult WriteRecord(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, bool more);
  IoResult Flush() override;
  IoResult ShutdownWrite() override;
  void Reset() override;
  // Tells the peer by an access_denied alert that it is not welcome, then resets.
  void Refuse();

  StreamError error() const override { return error_; }
  std::string error_text() const override { return error_text_; }
  // For what it knows of the peer; it must not be made to read or write.
  const SSL* ssl() const { return ssl_.get(); }
  // The stream below has not taken all that was written.
  bool has_unsent() const { return !out_.empty(); }
  // Whether records are opened and sealed here, no longer by BoringSSL.
  bool has_records() const { return records_ != nullptr; }
  // While `sparing`, the stream below is asked for about one record at a time.
  void set_sparing(bool sparing) { sparing_ = sparing; }
  // Until the next Read, what has come and was not asked for yet waits in memory of its own size, not in a block.
  void Park() {
    parked_ = parked_ || !in_.empty();
    SetAside();
  }

 private:
  friend struct TlsBio;  // BoringSSL's way to the stream below

  void OnReady() override;
  // More ciphertext for `in_`, by one read of the stream below, or none while that has nothing to say.
  IoStatus Fill();
  // kOk: `record_bytes_` at the front of `in_` are a whole record, or more than one can have.
  IoResult AwaitRecord();
  // Gives the block back while part of a record waits for the rest.
  void SetAside();
  void TakeBack();
  // Nothing is here, and nothing below. Asked once records are opened here.
  bool Drained() const { return lower_drained_ && in_.empty(); }
  IoResult ReadBySsl(absl::Span<uint8_t> into);
  IoResult NothingBySsl();
  IoResult OpenRecord();
  size_t TakeOpened(absl::Span<uint8_t> into);
  // `head` and `body` in one record to `out_`, which has room.
  IoResult SealRecord(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body);
  IoResult JoinBySsl(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body);
  IoResult SealBySsl(absl::Span<const uint8_t> record);
  bool SealAlert(uint8_t level, uint8_t alert);
  int BioRead(BIO* bio, absl::Span<uint8_t> into);
  int BioWrite(BIO* bio, absl::Span<const uint8_t> from);
  IoResult FlushOut();
  // Turns the outcome of an SSL call that did not succeed into a result.
  IoResult Settle(int returned);
  IoResult Fail(StreamError error, std::string text);
  IoResult FailOfTls();
  IoResult FailOfRecord(const TlsRecords::Opened& opened);
  IoResult FailOfLower();
  IoResult Failed() const { return {IoStatus::kError}; }

  std::unique_ptr<Stream> lower_;
  bssl::UniquePtr<SSL> ssl_;
  std::unique_ptr<TlsRecords> records_;
  Buffer in_;    // received: what was opened of a record, what is left of that record, ciphertext
  Buffer out_;   // ciphertext made, not yet taken by the stream below
  std::string part_;         // of a record, received before what is in in_; or all that was in in_, parked
  size_t record_bytes_ = 0;  // of the first record of in_'s ciphertext
  size_t for_ssl_ = 0;       // of in_, which BoringSSL may take: whole records, so that it never holds a part of one
  size_t opened_ = 0;        // plaintext at the front of in_
  size_t behind_opened_ = 0; // bytes behind it that nobody needs
  int without_data_ = 0;     // records that BoringSSL took, less those with data
  bool ssl_even_ = false;    // BoringSSL gave all data of the last record it took, and holds nothing
  StreamError error_ = StreamError::kNone;
  bool open_ = false;
  bool corked_ = true;       // ciphertext gathers in out_
  bool gathering_ = false;   // the last record said that more comes
  bool wrote_ = false;
  bool sparing_ = false;
  bool parked_ = false;
  bool lower_drained_ = false;  // the stream below had nothing, and has not spoken since
  bool lower_ended_ = false;
  bool lower_failed_ = false;
  bool ended_ = false;       // close_notify received
  bool closed_ = false;      // close_notify made
  std::string error_text_;
};

}  // namespace lanyard
