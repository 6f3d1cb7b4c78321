#include "proxy/tls/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

// What a record adds to its plaintext, and what a key update or session tickets may add before it.
constexpr size_t kRoomBesidePlaintext = 512;
constexpr size_t kRoomForARecord = kMaxRecordBytes + kRoomBesidePlaintext;

}  // namespace

struct TlsBio {
  static TlsStream* Of(BIO* bio) { return static_cast<TlsStream*>(BIO_get_data(bio)); }
  static int Read(BIO* bio, char* out, int size) {
    return Of(bio)->BioRead(bio, {reinterpret_cast<uint8_t*>(out), static_cast<size_t>(size)});
  }
  static int Write(BIO* bio, const char* in, int size) {
    return Of(bio)->BioWrite(bio, {reinterpret_cast<const uint8_t*>(in), static_cast<size_t>(size)});
  }
  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO* New(TlsStream* stream) {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index(), "lanyard stream");
      BIO_meth_set_read(made, Read);
      BIO_meth_set_write(made, Write);
      BIO_meth_set_ctrl(made, Control);
      return made;
    }();
    BIO* bio = BIO_new(method);
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsStream::TlsStream(std::unique_ptr<Stream> lower, bssl::UniquePtr<SSL> ssl, BufferPool* pool)
    : lower_(std::move(lower)), ssl_(std::move(ssl)), in_(pool), out_(pool) {
  BIO* bio = TlsBio::New(this);
  SSL_set_bio(ssl_.get(), bio, bio);
  lower_->set_observer(this);
}

TlsStream::~TlsStream() {
  if (lower_ != nullptr) lower_->set_observer(nullptr);
}

void TlsStream::OnReady() {
  lower_drained_ = false;
  if (!out_.empty()) FlushOut();
  if (observer_ != nullptr) observer_->OnReady();
}

IoStatus TlsStream::Fill() {
  if (lower_drained_) return IoStatus::kWouldBlock;
  if (lower_ended_) return IoStatus::kEnd;
  const absl::Span<uint8_t> space = in_.space();
  const size_t most = in_.frugal() ? std::min(space.size(), kRoomForARecord) : space.size();
  const IoResult result = lower_->Read(space.first(most));
  switch (result.status) {
    case IoStatus::kOk: in_.Produced(result.size_bytes); return IoStatus::kOk;
    case IoStatus::kWouldBlock: lower_drained_ = true; break;
    case IoStatus::kEnd: lower_ended_ = true; break;
    case IoStatus::kError: lower_failed_ = true; break;
  }
  in_.Trim();
  return result.status;
}

int TlsStream::BioRead(BIO* bio, absl::Span<uint8_t> into) {
  BIO_clear_retry_flags(bio);
  if (in_.empty() && Fill() != IoStatus::kOk) {
    if (!lower_ended_ && !lower_failed_) BIO_set_retry_read(bio);
    return lower_ended_ ? 0 : -1;
  }
  const size_t count = std::min(into.size(), in_.size());
  std::memcpy(into.data(), in_.content().data(), count);
  in_.Consumed(count);
  return static_cast<int>(count);
}

int TlsStream::BioWrite(BIO* bio, absl::Span<const uint8_t> from) {
  BIO_clear_retry_flags(bio);
  size_t taken = 0;
  if (!corked_ && out_.empty()) {
    const IoResult result = lower_->Write(from);
    if (result.status == IoStatus::kError) {
      lower_failed_ = true;
      return -1;
    }
    if (result.status == IoStatus::kOk) taken = result.size_bytes;
    if (taken == from.size()) return static_cast<int>(taken);
  }
  const absl::Span<uint8_t> space = out_.space();
  const size_t kept = std::min(space.size(), from.size() - taken);
  std::memcpy(space.data(), from.data() + taken, kept);
  out_.Produced(kept);
  taken += kept;
  if (taken > 0) return static_cast<int>(taken);
  BIO_set_retry_write(bio);
  return -1;
}

IoResult TlsStream::FlushOut() {
  while (!out_.empty()) {
    const IoResult result = lower_->Write(out_.content());
    if (result.status == IoStatus::kError) return FailOfLower();
    if (result.status != IoStatus::kOk) return {IoStatus::kWouldBlock};
    out_.Consumed(result.size_bytes);
  }
  out_.Trim();
  return {IoStatus::kOk};
}

IoResult TlsStream::Open() {
  if (error_ != StreamError::kNone) return Failed();
  if (open_) {
    Flush();
    return {error_ == StreamError::kNone ? IoStatus::kOk : IoStatus::kError};
  }
  const IoResult lower = lower_->Open();
  if (lower.status == IoStatus::kError) return FailOfLower();
  if (lower.status == IoStatus::kWouldBlock) return lower;
  if (!out_.empty() && FlushOut().status == IoStatus::kError) return Failed();
  corked_ = true;
  const int returned = SSL_do_handshake(ssl_.get());
  in_.Trim();
  if (returned == 1) {
    open_ = true;
    if (SSL_is_server(ssl_.get())) FlushOut();
    return {error_ == StreamError::kNone ? IoStatus::kOk : IoStatus::kError};
  }
  IoResult result = Settle(returned);
  if (result.status == IoStatus::kEnd) result = Fail(StreamError::kProtocol, "closed during the handshake");
  if (!out_.empty() && !lower_failed_) FlushOut();  // the next flight, or the alert that says why not
  return {error_ == StreamError::kNone ? IoStatus::kWouldBlock : IoStatus::kError};
}

IoResult TlsStream::Read(absl::Span<uint8_t> into) {
  if (error_ != StreamError::kNone) return Failed();
  if (!open_) return {IoStatus::kWouldBlock};
  if (!out_.empty() && FlushOut().status == IoStatus::kError) return Failed();
  if (ended_) return {IoStatus::kEnd};
  size_t done = 0;
  IoResult last{IoStatus::kOk};
  while (done < into.size() && last.status == IoStatus::kOk) {
    // To be told by BoringSSL that nothing is there costs half as much as a small record; it never holds a whole one.
    if (in_.empty() && SSL_pending(ssl_.get()) == 0 && Fill() == IoStatus::kWouldBlock) {
      last = {IoStatus::kWouldBlock};
      break;
    }
    const int count = SSL_read(ssl_.get(), into.data() + done, static_cast<int>(into.size() - done));
    if (count > 0) {
      done += static_cast<size_t>(count);
    } else {
      last = Settle(count);
    }
  }
  in_.Trim();
  // What came before an end or an error is delivered first.
  return done > 0 ? IoResult{IoStatus::kOk, done} : last;
}

IoResult TlsStream::Write(absl::Span<const uint8_t> from) {
  if (error_ != StreamError::kNone) return Failed();
  if (closed_) return Fail(StreamError::kOther, "written after its end");
  if (!open_) return {IoStatus::kWouldBlock};
  if (out_.room() < kRoomForARecord || (wrote_ && !out_.empty())) {
    const IoResult flushed = FlushOut();
    if (flushed.status != IoStatus::kOk) return flushed;
  }
  // A client's Finished, or a server's tickets, leave with the first bytes.
  corked_ = !wrote_ || from.size() > kMaxRecordBytes;
  wrote_ = true;
  size_t done = 0;
  do {
    const int count = SSL_write(ssl_.get(), from.data() + done, static_cast<int>(from.size() - done));
    if (count <= 0) {
      const IoResult result = Settle(count);
      if (result.status == IoStatus::kError) return result;
      break;
    }
    done += static_cast<size_t>(count);
  } while (done < from.size() && out_.room() >= kRoomForARecord);
  corked_ = true;
  if (FlushOut().status == IoStatus::kError) return Failed();
  return done > 0 ? IoResult{IoStatus::kOk, done} : IoResult{IoStatus::kWouldBlock};
}

IoResult TlsStream::WriteRecord(absl::Span<const uint8_t> record, bool more) {
  if (error_ != StreamError::kNone) return Failed();
  if (closed_) return Fail(StreamError::kOther, "written after its end");
  if (!open_) return {IoStatus::kWouldBlock};
  // What waits was either gathered for this record, or could not leave: then nothing more is taken.
  if (out_.room() < record.size() + kRoomBesidePlaintext || (wrote_ && !gathering_ && !out_.empty())) {
    const IoResult flushed = FlushOut();
    gathering_ = gathering_ && flushed.status == IoStatus::kOk;
    if (flushed.status != IoStatus::kOk) return flushed;
  }
  corked_ = more || gathering_ || !wrote_;
  wrote_ = true;
  gathering_ = more;
  const int count = SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
  corked_ = true;
  if (count <= 0) {
    const IoResult result = Settle(count);
    return result.status == IoStatus::kWouldBlock ? result : Failed();
  }
  if (!more && FlushOut().status == IoStatus::kError) return Failed();
  return {IoStatus::kOk, static_cast<size_t>(count)};
}

IoResult TlsStream::Flush() {
  if (error_ != StreamError::kNone) return Failed();
  const IoResult flushed = FlushOut();
  return flushed.status == IoStatus::kOk ? lower_->Flush() : flushed;
}

IoResult TlsStream::ShutdownWrite() {
  if (error_ != StreamError::kNone) return Failed();
  if (!open_) return {IoStatus::kWouldBlock};
  if (!closed_) {
    const int returned = SSL_shutdown(ssl_.get());
    if (returned < 0) {
      const IoResult result = Settle(returned);
      if (result.status == IoStatus::kError) return result;
      if (FlushOut().status == IoStatus::kError) return Failed();
      return {IoStatus::kWouldBlock};
    }
    closed_ = true;
  }
  return Flush();
}

TlsParts TlsStream::Release() {
  TlsParts parts;
  if (!open_ || error_ != StreamError::kNone || ended_ || closed_ || lower_ended_ || lower_failed_) return parts;
  parts.received.assign(in_.content().begin(), in_.content().end());
  parts.unsent.assign(out_.content().begin(), out_.content().end());
  in_.Drop();
  out_.Drop();
  lower_->set_observer(nullptr);
  SSL_set_bio(ssl_.get(), nullptr, nullptr);  // its BIO leads here
  parts.lower = std::move(lower_);
  parts.ssl = std::move(ssl_);
  Fail(StreamError::kOther, "taken apart");
  return parts;
}

std::unique_ptr<TlsStream> TlsStream::Rebuild(TlsParts parts, BufferPool* pool) {
  auto stream = std::make_unique<TlsStream>(std::move(parts.lower), std::move(parts.ssl), pool);
  const auto fill = [](const std::string& bytes, Buffer& buffer) {
    if (bytes.empty()) return;
    std::memcpy(buffer.space().data(), bytes.data(), std::min(bytes.size(), buffer.room()));
    buffer.Produced(std::min(bytes.size(), buffer.room()));
  };
  fill(parts.received, stream->in_);
  fill(parts.unsent, stream->out_);
  stream->open_ = stream->wrote_ = true;
  return stream;
}

void TlsStream::Reset() {
  if (lower_ == nullptr) return;  // taken apart
  lower_->set_observer(nullptr);
  lower_->Reset();
  if (error_ == StreamError::kNone) Fail(StreamError::kOther, "reset by this side");
}

void TlsStream::Refuse() {
  if (error_ == StreamError::kNone && open_ && !closed_) {
    SSL_send_fatal_alert(ssl_.get(), SSL_AD_ACCESS_DENIED);
    FlushOut();
  }
  ERR_clear_error();
  Reset();
}

IoResult TlsStream::Settle(int returned) {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {IoStatus::kWouldBlock};
    case SSL_ERROR_ZERO_RETURN:
      ended_ = true;
      return {IoStatus::kEnd};
    case SSL_ERROR_SYSCALL:
      if (lower_failed_) return FailOfLower();
      if (!open_) return Fail(StreamError::kProtocol, "the peer closed the connection during the handshake");
      return Fail(StreamError::kTruncated, "the peer closed the connection without close_notify");
    default:
      return FailOfTls();
  }
}

IoResult TlsStream::FailOfTls() {
  const uint32_t code = ERR_peek_last_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const absl::Status verification = PeerVerificationError(ssl_.get());
  const std::string text = TakeTlsError();
  StreamError error = StreamError::kProtocol;
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    error = StreamError::kNoPeerCertificate;
  } else if (!verification.ok()) {
    error = StreamError::kPeerNotVerified;
  } else if (reason == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL) {
    error = StreamError::kNoSharedProtocol;
  } else if (reason > SSL_AD_REASON_OFFSET) {
    error = StreamError::kPeerAlert;
  }
  const IoResult result = Fail(error, verification.ok() ? text : std::string(verification.message()));
  if (!out_.empty()) FlushOut();  // the alert
  return result;
}

IoResult TlsStream::FailOfLower() {
  lower_failed_ = true;
  return Fail(lower_->error(), lower_->error_text());
}

IoResult TlsStream::Fail(StreamError error, std::string text) {
  if (error_ == StreamError::kNone) {
    error_ = error;
    error_text_ = std::move(text);
  }
  return Failed();
}

}  // namespace lanyard
