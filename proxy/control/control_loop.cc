#include "proxy/control/control_loop.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>
#include <utility>

namespace lanyard {

namespace asio = boost::asio;

struct ControlLoop::State {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread;
};

ControlLoop::ControlLoop() : state_(std::make_unique<State>()) {}

ControlLoop::~ControlLoop() { Stop(); }

void ControlLoop::Start() {
  state_->thread = std::thread([context = &state_->context] {
    pthread_setname_np(pthread_self(), "control");
    context->run();
  });
}

void ControlLoop::Post(std::function<void()> task) { asio::post(state_->context, std::move(task)); }

void ControlLoop::After(absl::Duration delay, std::function<void()> task) {
  auto timer = std::make_shared<asio::steady_timer>(state_->context, absl::ToChronoNanoseconds(delay));
  timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& error) {
    if (!error) task();
  });
}

void ControlLoop::Every(absl::Duration interval, std::function<void()> task) {
  After(interval, [this, interval, task = std::move(task)]() mutable {
    task();
    Every(interval, std::move(task));
  });
}

void ControlLoop::Stop() {
  state_->context.stop();
  if (state_->thread.joinable()) state_->thread.join();
}

boost::asio::io_context& ControlLoop::context() { return state_->context; }

}  // namespace lanyard
