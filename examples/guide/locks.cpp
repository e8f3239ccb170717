// Two goroutines and a thread over three locks: each has one, and waits for the next.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <mutex>
#include <thread>

namespace {

hamgam::Mutex orders;
hamgam::Mutex stock;
hamgam::Mutex ledger;
hamgam::Barrier all_have_one(3);

void take_order() {
  const std::lock_guard first(orders);
  all_have_one.arrive_and_wait();
  const std::lock_guard second(stock);
}

void restock() {
  const std::lock_guard first(stock);
  all_have_one.arrive_and_wait();
  const std::lock_guard second(ledger);
}

void balance() {
  const std::lock_guard first(ledger);
  all_have_one.arrive_and_wait();
  const std::lock_guard second(orders);
}

}  // namespace

int main() {
  hamgam::observe::watch_locks();  // or HAMGAM_DEBUG=locks in the environment
  hamgam::go({.name = "shop"}, take_order);
  hamgam::go({.name = "store"}, restock);
  std::thread(balance).detach();
  while (hamgam::observe::lock_reports() == 0) {
    hamgam::sleep(std::chrono::milliseconds(1));
  }
  std::cout << "the rest of the program goes on\n";
}
