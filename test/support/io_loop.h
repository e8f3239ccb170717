// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// An io_context that threads run: Boost.Asio's, or Asio's where ASIO_STANDALONE is defined.

#include "hamgam/asio.h"
#if HAMGAM_ASIO_WITH_BOOST
#include <boost/asio.hpp>
#else
#include <asio.hpp>
#endif

#include <thread>
#include <vector>

namespace hamgam::test {

#if HAMGAM_ASIO_WITH_BOOST
namespace io = boost::asio;
using boost::system::error_code;
using boost::system::system_error;
namespace errc = boost::system::errc;
#else
namespace io = ::asio;
using std::errc;
using std::error_code;
using std::system_error;
#endif

// The destructor waits until nothing is under way.
class IoLoop {
 public:
  explicit IoLoop(int threads = 1) : work_(io::make_work_guard(context)) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { context.run(); });
    }
  }
  ~IoLoop() {
    work_.reset();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  io::io_context context;

 private:
  io::executor_work_guard<io::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

}  // namespace hamgam::test
