// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Publish and subscribe: a broker copies each message into the channel of every subscriber. One who
// does not keep up misses messages rather than holding up the others.
#include <hamgam/hamgam.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

class Broker {
 public:
  hamgam::RecvChan<std::string> subscribe(std::size_t backlog) {
    auto chan = hamgam::make_chan<std::string>(backlog);
    subscribers_.lock()->push_back(chan);
    return chan;
  }

  // How many got it.
  int publish(const std::string& message) {
    int reached = 0;
    for (const auto& subscriber : subscribers_.lock()) {
      reached += subscriber.try_send(message) ? 1 : 0;
    }
    return reached;
  }

  void close() {
    for (const auto& subscriber : subscribers_.lock()) {
      subscriber.close();
    }
  }

 private:
  hamgam::Guarded<std::vector<hamgam::Chan<std::string>>> subscribers_;
};

std::string read_all(const hamgam::RecvChan<std::string>& messages) {
  std::string all;
  for (const std::string& message : messages) {
    all += ' ' + message;
  }
  return all;
}

}  // namespace

int main() {
  return hamgam::run([] {
    Broker broker;
    const auto patient = broker.subscribe(10);
    const auto forgetful = broker.subscribe(2);
    for (const char* message : {"one", "two", "three"}) {
      std::cout << message << " reached " << broker.publish(message) << '\n';
    }
    broker.close();
    std::cout << "patient:" << read_all(patient) << '\n'
              << "forgetful:" << read_all(forgetful) << '\n';
  });
}
