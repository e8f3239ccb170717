# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# How tests are made and registered.
#
#   hamgam_add_test(mutex_test SOURCES mutex_test.cpp LABELS unit [SERIAL] [TIMEOUT seconds]
#                   [LIBRARIES ...])
#     one GoogleTest executable, which is one ctest test of the same name
#   hamgam_test_settings(name [TIMEOUT seconds])
#     gives the time limit and the sanitizers' options to a ctest test made in any other way

set(HAMGAM_GOOGLETEST_DIR /usr/src/googletest CACHE PATH "Sources of GoogleTest")
set(HAMGAM_TEST_TIMEOUT 300 CACHE STRING "Seconds a test may take")

# Programs with a sanitizer are large: lld, where it is, links them in a third of the time.
if(HAMGAM_SANITIZE)
  find_program(HAMGAM_LLD ld.lld)
  if(HAMGAM_LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()

# GoogleTest is built here rather than found, so that it fits each compiler, sanitizer and CPU.
function(hamgam_add_googletest)
  if(NOT EXISTS ${HAMGAM_GOOGLETEST_DIR}/CMakeLists.txt)
    message(FATAL_ERROR "No GoogleTest sources in HAMGAM_GOOGLETEST_DIR "
      "(${HAMGAM_GOOGLETEST_DIR}). Debian and Ubuntu: apt install googletest")
  endif()
  set(BUILD_GMOCK OFF CACHE BOOL "" FORCE)
  set(INSTALL_GTEST OFF CACHE BOOL "" FORCE)
  set(BUILD_SHARED_LIBS OFF)
  set(CMAKE_CXX_STANDARD 20)
  set(CMAKE_WARN_DEPRECATED OFF)
  list(JOIN hamgam_sanitizer_options " " flags)
  string(APPEND CMAKE_CXX_FLAGS " -w ${flags}")
  add_subdirectory(${HAMGAM_GOOGLETEST_DIR} ${PROJECT_BINARY_DIR}/googletest
    EXCLUDE_FROM_ALL SYSTEM)
endfunction()

function(hamgam_test_settings name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${HAMGAM_TEST_TIMEOUT})
  endif()
  set(environment "")
  if(HAMGAM_SANITIZE MATCHES "^thread")
    set(environment "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
  elseif(HAMGAM_SANITIZE STREQUAL "address")
    set(environment
      "ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=1"
      "UBSAN_OPTIONS=print_stacktrace=1")
  endif()
  if(CMAKE_CROSSCOMPILING_EMULATOR)
    # For a test that starts itself again as a child process.
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
    list(APPEND environment "HAMGAM_TEST_EMULATOR=${emulator}")
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${environment}")
endfunction()

# What a test is compiled with. Under a sanitizer it is not optimised, which takes twice as long to
# compile and would find no more; the library itself is. Elsewhere those are that run the headers'
# inline code hard, and with HAMGAM_TEST_SLOW those of faults, some of which were the optimiser's.
#   hamgam_test_flags(name [suite])
function(hamgam_test_flags name)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
  hamgam_developer_flags(${name})
  hamgam_test_is_plain(plain ${ARGN})
  if(plain)
    target_compile_options(${name} PRIVATE -O0)
  endif()
endfunction()

function(hamgam_test_is_plain result)
  if(NOT HAMGAM_SANITIZE AND ("${ARGN}" MATCHES "^(go|stress)$" OR
      (HAMGAM_TEST_SLOW AND "${ARGN}" STREQUAL "faults")))
    set(${result} OFF PARENT_SCOPE)
  else()
    set(${result} ON PARENT_SCOPE)
  endif()
endfunction()

# For tests and examples that include asio.h.
function(hamgam_use_asio name)
  target_link_libraries(${name} PRIVATE hamgam::asio)
  # Asio's fences, which are not seen, only go with locks, which are.
  if(HAMGAM_SANITIZE MATCHES "^thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE -Wno-tsan)
  endif()
endfunction()

# What nearly every test includes is compiled once for all that have the same flags: it is most of a
# test's compile time.
function(hamgam_precompile_for name suite)
  hamgam_test_is_plain(plain ${suite})
  if(plain)
    set(headers hamgam_test_headers_plain)
  else()
    set(headers hamgam_test_headers)
  endif()
  if(NOT TARGET ${headers})
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/test_headers.cpp CONTENT "")
    add_library(${headers} OBJECT ${PROJECT_BINARY_DIR}/test_headers.cpp)
    target_link_libraries(${headers} PRIVATE hamgam::hamgam gtest)
    hamgam_test_flags(${headers} ${suite})
    target_precompile_headers(${headers} PRIVATE
      <gtest/gtest.h> <hamgam/hamgam.h> <functional> <thread> <vector>)
  endif()
  target_precompile_headers(${name} REUSE_FROM ${headers})
endfunction()

function(hamgam_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "SOURCES;LABELS;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  # Tests may look behind the public headers.
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/test)
  target_link_libraries(${name} PRIVATE hamgam::hamgam gtest_main ${arg_LIBRARIES})
  hamgam_test_flags(${name} ${arg_LABELS})
  hamgam_precompile_for(${name} ${arg_LABELS})
  add_test(NAME ${name} COMMAND ${name})
  set(timeout "")
  if(arg_TIMEOUT)
    set(timeout TIMEOUT ${arg_TIMEOUT})
  endif()
  hamgam_test_settings(${name} ${timeout})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" RUN_SERIAL ${arg_SERIAL})
endfunction()
