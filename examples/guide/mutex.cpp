// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Two goroutines pay 50 each into an account that has 100.
#include <hamgam/hamgam.h>

#include <iostream>
#include <mutex>
#include <vector>

namespace {

// [naive]
class NaiveAccount {
 public:
  int balance() const {
    const std::lock_guard lock(mutex_);
    return balance_;
  }
  void set_balance(int balance) {
    const std::lock_guard lock(mutex_);
    balance_ = balance;
  }

 private:
  mutable hamgam::Mutex mutex_;
  int balance_ = 100;
};
// [/naive]

// [ours]
class Account {
 public:
  int balance() const { return state_.lock()->balance; }
  std::size_t payments() const { return state_.lock()->payments.size(); }

  void deposit(int amount) {
    auto state = state_.lock();  // until the end of the function
    state->balance += amount;
    state->payments.push_back(amount);
  }

 private:
  struct State {
    int balance = 100;
    std::vector<int> payments;
  };
  mutable hamgam::Guarded<State> state_;
};
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;

    NaiveAccount naive;
    hamgam::Barrier both_have_read(2);  // makes happen what chance does now and then
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        // [lost]
        const int before = naive.balance();
        both_have_read.arrive_and_wait();
        naive.set_balance(before + 50);
        // [/lost]
      });
    }
    group.wait();
    std::cout << "getter and setter: " << naive.balance() << '\n';

    Account account;
    for (int i = 0; i < 2; ++i) {
      group.go([&] { account.deposit(50); });
    }
    group.wait();
    std::cout << "one locked step: " << account.balance() << " after " << account.payments()
              << " payments\n";
  });
}
