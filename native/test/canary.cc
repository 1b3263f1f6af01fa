// Faults on purpose, one for each kind that the sanitizers find: proves that the sanitizer test would see them in the
// addon.
#include <node_api.h>

#include <climits>
#include <cstdlib>

static napi_value Leak(napi_env, napi_callback_info) {
    // More than one, so that no pointer left over in a register hides them all.
    for (int i = 0; i < 8; i++) {
        volatile char *lost = static_cast<char *>(malloc(123));
        lost[0] = 1;
    }
    return nullptr;
}

static napi_value UseAfterFree(napi_env, napi_callback_info) {
    char *bytes = static_cast<char *>(malloc(8));
    volatile char *alias = bytes;
    free(bytes);
    alias[0] = 1;
    return nullptr;
}

static napi_value Undefined(napi_env, napi_callback_info) {
    volatile int number = INT_MAX;
    number = number + 1;
    return nullptr;
}

extern "C" __attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
    struct {
        const char *name;
        napi_callback function;
    } faults[] = {{"leak", Leak}, {"useAfterFree", UseAfterFree}, {"undefined", Undefined}};
    for (const auto &fault : faults) {
        napi_value function = nullptr;
        napi_create_function(env, fault.name, NAPI_AUTO_LENGTH, fault.function, nullptr, &function);
        napi_set_named_property(env, exports, fault.name, function);
    }
    return exports;
}
