#include "squares.h"

#include <iostream>

int main() {
  return hamgam::run([] {
    for (const auto& [number, square] : squares_up_to(9, 3)) {
      std::cout << number << " * " << number << " = " << square << '\n';
    }
  });
}
