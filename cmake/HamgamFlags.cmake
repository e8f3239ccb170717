# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# The compiler flags that follow from HAMGAM_SANITIZE, HAMGAM_CONTEXT and HAMGAM_DEVELOPER.
#
# HAMGAM_SANITIZE      library's own files                  users, tests, examples
#   address            -fsanitize=address,undefined         the same
#   thread             -fsanitize=thread                    the same: for testing our internals
#   thread-user        annotated, not instrumented          -fsanitize=thread: for finding users' races
# Code sees HAMGAM_ASAN=1, HAMGAM_TSAN=2 (thread) or HAMGAM_TSAN=1 (thread-user), in the library and
# in its users alike.

set(hamgam_sanitizer_options "")
set(hamgam_sanitizer_link_options "")
set(hamgam_sanitizer_definitions "")
if(HAMGAM_SANITIZE STREQUAL "address")
  set(hamgam_sanitizer_link_options -fsanitize=address,undefined)
  set(hamgam_sanitizer_options ${hamgam_sanitizer_link_options} -fno-sanitize-recover=undefined)
  set(hamgam_sanitizer_definitions HAMGAM_ASAN=1)
elseif(HAMGAM_SANITIZE MATCHES "^thread(-user)?$")
  set(hamgam_sanitizer_link_options -fsanitize=thread)
  set(hamgam_sanitizer_options -fsanitize=thread)
  set(hamgam_sanitizer_definitions HAMGAM_TSAN=2)
  if(HAMGAM_SANITIZE STREQUAL "thread-user")
    set(hamgam_sanitizer_definitions HAMGAM_TSAN=1)
  endif()
elseif(HAMGAM_SANITIZE)
  message(FATAL_ERROR "HAMGAM_SANITIZE is '${HAMGAM_SANITIZE}': "
    "it can be empty, address, thread or thread-user")
endif()
if(hamgam_sanitizer_options)
  list(APPEND hamgam_sanitizer_options -fno-omit-frame-pointer)
endif()

if(NOT HAMGAM_CONTEXT MATCHES "^(asm|ucontext)$")
  message(FATAL_ERROR "HAMGAM_CONTEXT is '${HAMGAM_CONTEXT}': it can be asm or ucontext")
endif()

# Warnings for our own code: library, tests, benchmarks, examples.
function(hamgam_developer_flags target)
  if(NOT HAMGAM_DEVELOPER)
    return()
  endif()
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>
    $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endfunction()

function(hamgam_library_flags target)
  # Frame pointers and unwind tables: dumps and panics print stacks in release builds too.
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer> $<$<COMPILE_LANGUAGE:CXX>:-fexceptions>
    $<$<COMPILE_LANGUAGE:CXX>:-fasynchronous-unwind-tables>)
  hamgam_developer_flags(${target})
  if(HAMGAM_CONTEXT STREQUAL "ucontext")
    target_compile_definitions(${target} PUBLIC HAMGAM_CONTEXT_UCONTEXT=1)
  endif()

  target_compile_definitions(${target} PUBLIC ${hamgam_sanitizer_definitions})
  set(scope PUBLIC)
  if(HAMGAM_SANITIZE STREQUAL "thread-user")
    set(scope INTERFACE)
  endif()
  target_compile_options(${target} ${scope} ${hamgam_sanitizer_options})
  target_link_options(${target} ${scope} ${hamgam_sanitizer_link_options})
endfunction()
