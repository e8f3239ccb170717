// Squares, found by a few goroutines.
#pragma once

#include <hamgam/hamgam.h>

#include <map>

struct Square {
  int number;
  int square;
};

// The squares of 1 to `last`. Each worker takes numbers from one channel and sends what it finds
// into another; who comes first differs from run to run.
inline std::map<int, int> squares_up_to(int last, int workers) {
  auto numbers = hamgam::make_chan<int>();
  auto found = hamgam::make_chan<Square>();
  hamgam::go([=] {
    for (int number = 1; number <= last; ++number) {
      numbers.send(number);
    }
    numbers.close();  // ends the workers' loops
  });
  hamgam::WaitGroup group;
  for (int i = 0; i < workers; ++i) {
    group.go([=] {
      for (const int number : numbers) {
        found.send({number, number * number});
      }
    });
  }
  std::map<int, int> squares;
  for (int i = 0; i < last; ++i) {
    const Square square = *found.recv();
    squares[square.number] = square.square;
  }
  group.wait();
  return squares;
}
