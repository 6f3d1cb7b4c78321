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
  if (!part_.empty()) TakeBack();
  in_.MoveToFront();
  const absl::Span<uint8_t> space = in_.space();
  const size_t most = in_.frugal() || sparing_ ? std::min(space.size(), kRoomForARecord - in_.size()) : space.size();
  const IoResult result = lower_->Read(space.first(most));
  switch (result.status) {
    case IoStatus::kOk:
      in_.Produced(result.size_bytes);
      lower_drained_ = result.drained;
      return IoStatus::kOk;
    case IoStatus::kWouldBlock: lower_drained_ = true; break;
    case IoStatus::kEnd: lower_ended_ = true; break;
    case IoStatus::kError: lower_failed_ = true; break;
  }
  in_.Trim();
  return result.status;
}

int TlsStream::BioRead(BIO* bio, absl::Span<uint8_t> into) {
  BIO_clear_retry_flags(bio);
  if (records_ != nullptr) return -1;
  if (open_ && for_ssl_ == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  if (in_.empty() && Fill() != IoStatus::kOk) {
    if (!lower_ended_ && !lower_failed_) BIO_set_retry_read(bio);
    return lower_ended_ ? 0 : -1;
  }
  const size_t count = std::min(into.size(), open_ ? for_ssl_ : in_.size());
  std::memcpy(into.data(), in_.content().data(), count);
  in_.Consumed(count);
  if (open_) for_ssl_ -= count;
  return static_cast<int>(count);
}

int TlsStream::BioWrite(BIO* bio, absl::Span<const uint8_t> from) {
  BIO_clear_retry_flags(bio);
  if (records_ != nullptr) return -1;  // a second writer with the same key would betray it
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

// Reading.

IoResult TlsStream::Read(absl::Span<uint8_t> into) {
  if (error_ != StreamError::kNone) return Failed();
  if (!open_) return {IoStatus::kWouldBlock};
  if (!out_.empty() && FlushOut().status == IoStatus::kError) return Failed();
  if (ended_) return {IoStatus::kEnd};
  if (std::exchange(parked_, false)) TakeBack();
  if (records_ != nullptr && Drained()) return {IoStatus::kWouldBlock};
  size_t done = 0;
  IoResult last{IoStatus::kOk};
  // Records without data have a limit of their own.
  for (int records = 0; done < into.size() && last.status == IoStatus::kOk;) {
    if (opened_ > 0) {
      done += TakeOpened(into.subspan(done));
    } else if (records_ == nullptr && SSL_pending(ssl_.get()) > 0) {
      last = ReadBySsl(into.subspan(done));
      done += last.size_bytes;
    } else if (done > 0 && records >= kRecordsPerRead) {
      break;
    } else {
      last = AwaitRecord();
      if (last.status != IoStatus::kOk) break;
      ++records;
      last = records_ != nullptr ? OpenRecord() : ReadBySsl(into.subspan(done));
      done += last.size_bytes;
    }
  }
  if (last.status == IoStatus::kWouldBlock) SetAside();
  in_.Trim();
  // What came before an end or an error is delivered first.
  if (done == 0) return last;
  return {IoStatus::kOk, done, last.status == IoStatus::kWouldBlock || (records_ != nullptr && Drained())};
}

void TlsStream::SetAside() {
  if (in_.empty()) return;
  part_.assign(in_.content().begin(), in_.content().end());
  in_.Drop();
}

void TlsStream::TakeBack() {
  std::memcpy(in_.space().data(), part_.data(), part_.size());
  in_.Produced(part_.size());
  std::string().swap(part_);
}

IoResult TlsStream::AwaitRecord() {
  for (;;) {
    record_bytes_ = TlsRecords::WireBytes(in_.content());
    if (record_bytes_ > 0 && (record_bytes_ <= in_.size() || record_bytes_ > TlsRecords::kMaxWireBytes)) {
      record_bytes_ = std::min(record_bytes_, in_.size());
      return {IoStatus::kOk};
    }
    switch (Fill()) {
      case IoStatus::kOk: break;
      case IoStatus::kWouldBlock: return {IoStatus::kWouldBlock};
      case IoStatus::kEnd: return Fail(StreamError::kTruncated, "the peer closed the connection without close_notify");
      case IoStatus::kError: return FailOfLower();
    }
  }
}

IoResult TlsStream::ReadBySsl(absl::Span<uint8_t> into) {
  for_ssl_ = SSL_pending(ssl_.get()) > 0 ? 0 : record_bytes_;
  const int count = SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size()));
  ssl_even_ = count > 0 && SSL_pending(ssl_.get()) == 0;
  if (count > 0) {
    without_data_ = std::max(without_data_ - 1, 0);
    return {IoStatus::kOk, static_cast<size_t>(count)};
  }
  const IoResult result = Settle(count);
  return result.status == IoStatus::kWouldBlock ? NothingBySsl() : result;
}

// The record had no data. BoringSSL counts such records, but not session tickets.
IoResult TlsStream::NothingBySsl() {
  ++without_data_;
  if (without_data_ <= TlsRecords::kMaxRecordsWithoutData && TicketsFromPeer(ssl_.get()) <= kMaxTickets) {
    return {IoStatus::kOk};
  }
  return Fail(StreamError::kProtocol, "the peer broke TLS: too many records or session tickets without data");
}

IoResult TlsStream::OpenRecord() {
  const TlsRecords::Opened opened = records_->Open(in_.content().first(record_bytes_));
  switch (opened.kind) {
    case TlsRecords::Kind::kData:
      in_.Consumed(TlsRecords::kHeaderBytes);
      opened_ = opened.data.size();
      behind_opened_ = record_bytes_ - TlsRecords::kHeaderBytes - opened_;
      return {IoStatus::kOk};
    case TlsRecords::Kind::kNothing:
      in_.Consumed(record_bytes_);
      return {IoStatus::kOk};
    case TlsRecords::Kind::kEnd:
      ended_ = true;
      in_.Drop();
      return {IoStatus::kEnd};
    case TlsRecords::Kind::kAlert:
    case TlsRecords::Kind::kBroken: break;
  }
  return FailOfRecord(opened);
}

size_t TlsStream::TakeOpened(absl::Span<uint8_t> into) {
  const size_t count = std::min(into.size(), opened_);
  std::memcpy(into.data(), in_.content().data(), count);
  opened_ -= count;
  in_.Consumed(opened_ > 0 ? count : count + std::exchange(behind_opened_, 0));
  return count;
}

// Writing.

IoResult TlsStream::SealRecord(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body) {
  if (records_ == nullptr) return head.empty() ? SealBySsl(body) : JoinBySsl(head, body);
  const size_t made = records_->Seal(TlsRecords::kData, head, body, out_.space().data());
  if (made == 0) return Fail(StreamError::kOther, "a record could not be sealed");
  out_.Produced(made);
  return {IoStatus::kOk, head.size() + body.size()};
}

IoResult TlsStream::JoinBySsl(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body) {
  std::string record(head.begin(), head.end());
  record.append(body.begin(), body.end());
  return SealBySsl({reinterpret_cast<const uint8_t*>(record.data()), record.size()});
}

IoResult TlsStream::SealBySsl(absl::Span<const uint8_t> record) {
  const int count = SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
  if (count <= 0) return Settle(count);
  // BoringSSL has given all that it had to send, and holds nothing that came.
  if (ssl_even_) records_ = TlsRecords::TakeOver(ssl_.get());
  return {IoStatus::kOk, static_cast<size_t>(count)};
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
    const IoResult sealed = SealRecord({}, from.subspan(done, kMaxRecordBytes));
    if (sealed.status == IoStatus::kError) return Failed();
    if (sealed.status != IoStatus::kOk) break;
    done += sealed.size_bytes;
  } while (done < from.size() && out_.room() >= kRoomForARecord);
  corked_ = true;
  if (FlushOut().status == IoStatus::kError) return Failed();
  return done > 0 ? IoResult{IoStatus::kOk, done} : IoResult{IoStatus::kWouldBlock};
}

IoResult TlsStream::WriteRecord(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, bool more) {
  if (error_ != StreamError::kNone) return Failed();
  if (closed_) return Fail(StreamError::kOther, "written after its end");
  if (!open_) return {IoStatus::kWouldBlock};
  // What waits was either gathered for this record, or could not leave: then nothing more is taken.
  const size_t room = head.size() + body.size() + kRoomBesidePlaintext;
  if (out_.room() < room || (wrote_ && !gathering_ && !out_.empty())) {
    const IoResult flushed = FlushOut();
    gathering_ = gathering_ && flushed.status == IoStatus::kOk;
    if (flushed.status != IoStatus::kOk) return flushed;
  }
  corked_ = more || gathering_ || !wrote_;
  wrote_ = true;
  gathering_ = more;
  const IoResult sealed = SealRecord(head, body);
  corked_ = true;
  if (sealed.status != IoStatus::kOk) return sealed.status == IoStatus::kWouldBlock ? sealed : Failed();
  if (!more && FlushOut().status == IoStatus::kError) return Failed();
  return sealed;
}

// Ending.

IoResult TlsStream::Flush() {
  if (error_ != StreamError::kNone) return Failed();
  const IoResult flushed = FlushOut();
  return flushed.status == IoStatus::kOk ? lower_->Flush() : flushed;
}

IoResult TlsStream::ShutdownWrite() {
  if (error_ != StreamError::kNone) return Failed();
  if (!open_) return {IoStatus::kWouldBlock};
  if (!closed_ && records_ != nullptr) {
    if (!SealAlert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY)) {
      return {error_ == StreamError::kNone ? IoStatus::kWouldBlock : IoStatus::kError};
    }
    closed_ = true;
  }
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

bool TlsStream::SealAlert(uint8_t level, uint8_t alert) {
  if (out_.room() < kRoomBesidePlaintext && FlushOut().status != IoStatus::kOk) return false;
  const uint8_t content[] = {level, alert};
  const size_t made = records_->Seal(TlsRecords::kAlert, {}, content, out_.space().data());
  if (made == 0) Fail(StreamError::kOther, "a record could not be sealed");
  out_.Produced(made);
  return made > 0;
}

TlsParts TlsStream::Release() {
  TlsParts parts;
  if (!open_ || error_ != StreamError::kNone || ended_ || closed_ || lower_ended_ || lower_failed_) return parts;
  parts.opened_bytes = opened_;
  if (!part_.empty()) TakeBack();
  parts.received.assign(in_.content().begin(), in_.content().end());
  parts.received.erase(opened_, std::exchange(behind_opened_, 0));
  opened_ = 0;
  parts.unsent.assign(out_.content().begin(), out_.content().end());
  in_.Drop();
  out_.Drop();
  lower_->set_observer(nullptr);
  SSL_set_bio(ssl_.get(), nullptr, nullptr);  // its BIO leads here
  parts.lower = std::move(lower_);
  parts.ssl = std::move(ssl_);
  parts.records = std::move(records_);
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
  stream->opened_ = parts.opened_bytes;
  stream->records_ = std::move(parts.records);
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
    if (records_ == nullptr) {
      SSL_send_fatal_alert(ssl_.get(), SSL_AD_ACCESS_DENIED);
    } else {
      SealAlert(SSL3_AL_FATAL, SSL_AD_ACCESS_DENIED);
    }
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

IoResult TlsStream::FailOfRecord(const TlsRecords::Opened& opened) {
  if (opened.kind == TlsRecords::Kind::kAlert) {
    return Fail(StreamError::kPeerAlert, absl::StrCat("the peer sent the alert ",
                                                      SSL_alert_desc_string_long(opened.alert)));
  }
  if (!closed_) SealAlert(SSL3_AL_FATAL, opened.alert);
  closed_ = true;
  Fail(StreamError::kProtocol, absl::StrCat("the peer broke TLS: ", opened.why));
  if (!out_.empty()) FlushOut();  // the alert
  return Failed();
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
