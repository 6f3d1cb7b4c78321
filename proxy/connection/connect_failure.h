// Why a dial failed, as a close reason.
#pragma once

#include "proxy/connection/close_reason.h"
#include "proxy/io/stream.h"

namespace lanyard {

inline CloseReason ConnectFailure(StreamError error) {
  switch (error) {
    case StreamError::kRefused: return CloseReason::kConnectRefused;
    case StreamError::kTimedOut: return CloseReason::kConnectTimeout;
    case StreamError::kUnreachable: return CloseReason::kConnectUnreachable;
    case StreamError::kNoDescriptors: return CloseReason::kLimitDescriptors;
    default: return CloseReason::kConnectFailed;
  }
}

}  // namespace lanyard
