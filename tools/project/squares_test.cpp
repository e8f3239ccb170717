#include "squares.h"

#include <iostream>

int main() {
  return hamgam::run([] {
    const auto squares = squares_up_to(100, 4);
    int wrong = squares.size() == 100 ? 0 : 1;
    for (const auto& [number, square] : squares) {
      wrong += square == number * number ? 0 : 1;
    }
    std::cout << (wrong == 0 ? "all well\n" : "wrong squares\n");
    return wrong == 0 ? 0 : 1;
  });
}
