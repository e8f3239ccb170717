# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors

# cargo_program(<library> [<package>]): the package in the current folder becomes
# <build>/bench/<library>/bench_<library>, or the one in the folder <package> becomes
# <build>/bench/<library>/<package>. Without cargo, or where it does not build (a crate that
# cannot be fetched), it is left out with a message.
set(RUST_HARNESS ${CMAKE_CURRENT_LIST_DIR})
function(cargo_program library)
  find_program(CARGO_COMMAND cargo)
  if(NOT CARGO_COMMAND)
    message(STATUS "Benchmarks: ${library} is left out, there is no cargo")
    return()
  endif()
  set(source ${CMAKE_CURRENT_SOURCE_DIR})
  set(out ${BENCH_OUT}/${library})
  set(program bench_${library})
  set(target bench_${library})
  if(ARGC GREATER 1)
    set(source ${source}/${ARGV1})
    set(program ${ARGV1})
    set(target bench_${library}_${ARGV1})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${source}/Cargo.* ${source}/src/*.rs
    ${RUST_HARNESS}/*.rs ${RUST_HARNESS}/Cargo.toml ${RUST_HARNESS}/src/*.rs)
  add_custom_command(
    OUTPUT ${out}/${program}.stamp
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${CMAKE_COMMAND} -DCARGO=${CARGO_COMMAND} -DSOURCE=${source} -DTARGET=${out}/target
      -DPROGRAM=${out}/${program} -P ${RUST_HARNESS}/build.cmake
    COMMAND ${CMAKE_COMMAND} -E touch ${out}/${program}.stamp
    DEPENDS ${sources} ${RUST_HARNESS}/build.cmake
    COMMENT "Building Rust's ${program} of ${library}" VERBATIM)
  add_custom_target(${target} ALL DEPENDS ${out}/${program}.stamp)
endfunction()
