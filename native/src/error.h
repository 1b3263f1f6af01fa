// The one place that makes JS errors. Every failure of the addon has the same fields: operation, object, errno, code,
// detail and, where a program was refused, verifierLog (BpfErrorFields in agent/bpf/native.ts).
#pragma once

#include <napi.h>

#include <string>

namespace hotspan {

struct Failure {
    std::string operation; // "open", "load", "attach", ...
    std::string object;    // a program, map or file name
    int error = 0;         // positive errno; 0 where none applies
    std::string detail;    // one sentence more than errno says; may be empty
    std::string verifier_log;
};

// "EPERM" for 1; empty for 0 or an unknown number.
std::string ErrorCode(int error);

// The JS error of a failure: what the function given to setErrorFactory makes, else a plain Error with the fields.
Napi::Value MakeError(Napi::Env env, const Failure &failure);

// Throws it. With C++ exceptions off the caller returns at once; JS sees the error when the addon's function returns.
void Throw(Napi::Env env, const Failure &failure);

} // namespace hotspan
