#include "identity/admin/metrics_endpoint.h"

#include <pthread.h>

#include <boost/asio/io_context.hpp>
#include <thread>
#include <utility>

#include "identity/admin/admin_server.h"
#include "identity/admin/metric_families.h"
#include "identity/base/logging.h"

namespace lanyard {

struct MetricsEndpoint::State {
  boost::asio::io_context context{1};
  std::unique_ptr<AdminServer> server;  // its accept keeps the context busy
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const std::string& address,
                                                                        std::function<std::string()> metrics) {
  auto state = std::make_unique<State>();
  auto handler = [metrics = std::move(metrics)](const AdminRequest& request, AdminServer::Respond respond) {
    if (request.path == "/live") return respond({.body = "live\n"});
    if (request.path == "/metrics") return respond({200, kMetricsContentType, metrics()});
    respond({.status = 404, .body = "no such page: here are /live and /metrics\n"});
  };
  absl::StatusOr<std::unique_ptr<AdminServer>> server =
      AdminServer::Create(state->context, {.address = address, .handler = std::move(handler)});
  if (!server.ok()) return server.status();
  state->server = *std::move(server);
  if (!state->server->is_loopback()) {
    Log(LogLevel::kWarning, "admin address is not loopback: whoever reaches it can read the metrics",
        {{"address", state->server->address()}});
  }
  state->thread = std::thread([context = &state->context] {
    pthread_setname_np(pthread_self(), "admin");
    context->run();
  });
  return std::unique_ptr<MetricsEndpoint>(new MetricsEndpoint(std::move(state)));
}

MetricsEndpoint::MetricsEndpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}

MetricsEndpoint::~MetricsEndpoint() {
  state_->context.stop();
  state_->thread.join();
}

std::string MetricsEndpoint::address() const { return state_->server->address(); }

}  // namespace lanyard
