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

include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)

# Frames that are larger than a page touch each of their pages in turn, so none of them steps over
# the guard below a goroutine's stack. For the library and, as it is their frames that are large,
# for its users; clang has it for AArch64 since version 18.
check_cxx_compiler_flag(-fstack-clash-protection HAMGAM_HAS_STACK_CLASH_PROTECTION)
set(hamgam_user_options
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fstack-clash-protection>
  $<$<COMPILE_LANG_AND_ID:C,GNU>:-fstack-clash-protection>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND hamgam_user_options $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-fstack-clash-protection>)
else()
  list(APPEND hamgam_user_options
    $<$<AND:$<COMPILE_LANG_AND_ID:CXX,Clang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,18>>:-fstack-clash-protection>)
endif()

# The switch leaves the processor's shadow stack (x86 SHSTK, ARM GCS) where it is. Objects must not
# claim that they support one then; the last option wins. Asked anew each time, as it depends on
# flags that may change.
unset(HAMGAM_CLAIMS_NO_SHADOW_STACK CACHE)
set(CMAKE_REQUIRED_QUIET ON)
check_cxx_source_compiles("
  #if defined(__CET__) && (__CET__ & 2) || defined(__ARM_FEATURE_GCS_DEFAULT)
  #error claimed
  #endif
  int main() {}" HAMGAM_CLAIMS_NO_SHADOW_STACK)
unset(CMAKE_REQUIRED_QUIET)
set(hamgam_shadow_stack_options "")
if(NOT HAMGAM_CLAIMS_NO_SHADOW_STACK)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)")
    set(hamgam_shadow_stack_options -mbranch-protection=pac-ret+bti)
  else()
    # From gcc 14 on they add up, but for none.
    set(hamgam_shadow_stack_options -fcf-protection=none -fcf-protection=branch)
  endif()
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
    $<$<COMPILE_LANGUAGE:CXX>:-fasynchronous-unwind-tables> ${hamgam_shadow_stack_options})
  if(HAMGAM_HAS_STACK_CLASH_PROTECTION)
    target_compile_options(${target} PRIVATE -fstack-clash-protection)
  endif()
  target_compile_options(${target} INTERFACE ${hamgam_user_options})
  target_compile_definitions(${target} PRIVATE HAMGAM_LIBRARY=1)
  hamgam_developer_flags(${target})
  if(HAMGAM_CONTEXT STREQUAL "ucontext")
    target_compile_definitions(${target} PUBLIC HAMGAM_CONTEXT_UCONTEXT=1)
  endif()

  target_compile_definitions(${target} PUBLIC ${hamgam_sanitizer_definitions})
  set(scope PUBLIC)
  if(HAMGAM_SANITIZE STREQUAL "thread-user")
    set(scope INTERFACE)
    set_source_files_properties(${PROJECT_SOURCE_DIR}/src/wait/stop.cpp PROPERTIES
      COMPILE_OPTIONS "${hamgam_sanitizer_options}"  # its head says why
      SKIP_PRECOMPILE_HEADERS ON)
    # Unoptimised, it would call the standard library's inline functions, of which the linker keeps
    # the users' instrumented copies: races would be reported within the library.
    target_compile_options(${target} PRIVATE $<$<OR:$<CONFIG:Debug>,$<CONFIG:>>:-O1>)
  endif()
  target_compile_options(${target} ${scope} ${hamgam_sanitizer_options})
  if(HAMGAM_SANITIZE STREQUAL "address")
    # That check asks the kernel by a pipe whether there is memory: where no descriptor is left it
    # takes an object for none. So do our tests take them all.
    target_compile_options(${target} PRIVATE -fno-sanitize=vptr)
    if(HAMGAM_DEVELOPER)
      target_compile_options(${target} INTERFACE -fno-sanitize=vptr)
    endif()
  endif()
  target_link_options(${target} ${scope} ${hamgam_sanitizer_link_options})

  # Its threads never end, so what they run is never unloaded: not the library, nor a plugin that it
  # was linked into.
  get_target_property(kind ${target} TYPE)
  if(kind STREQUAL "SHARED_LIBRARY")
    target_link_options(${target} PRIVATE LINKER:-z,nodelete)
  else()
    target_link_options(${target} INTERFACE
      $<$<IN_LIST:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY$<SEMICOLON>MODULE_LIBRARY>:LINKER:-z,nodelete>)
  endif()
endfunction()
