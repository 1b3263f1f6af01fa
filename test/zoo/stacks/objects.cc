/* What C++ programs are made of: virtual calls, lambdas in std::sort, maps of strings, std::function, and threads of
 * std::thread. */
#include "stacks.h"
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

STACKS_SINK;

namespace {

struct Shape {
    virtual ~Shape() = default;
    virtual unsigned long area(unsigned long scale) const = 0;
};

struct Square : Shape {
    KEEP unsigned long area(unsigned long scale) const override {
        std::map<std::string, unsigned long> sizes;
        for (unsigned long side = 0; side < 20; side++)
            sizes["side " + std::to_string(side)] = side * scale;
        return sizes.size() + sizes.begin()->second;
    }
};

struct Circle : Shape {
    KEEP unsigned long area(unsigned long scale) const override {
        std::vector<unsigned long> values(200);
        for (unsigned long i = 0; i < values.size(); i++)
            values[i] = (i * 2654435761u + scale) % 1000;
        std::sort(values.begin(), values.end(), [](unsigned long a, unsigned long b) {
            stacks_burn(1);
            return a < b;
        });
        return values[100];
    }
};

KEEP unsigned long sum_areas(const std::vector<std::unique_ptr<Shape>> &shapes, unsigned long scale) {
    unsigned long sum = 0;
    for (const auto &shape : shapes)
        sum += shape->area(scale);
    return sum;
}

KEEP void live(const std::function<unsigned long(unsigned long)> &work) {
    for (unsigned long turn = 0;; turn++)
        stacks_sink += work(turn);
}

} // namespace

int main() {
    std::vector<std::unique_ptr<Shape>> shapes;
    shapes.push_back(std::make_unique<Square>());
    shapes.push_back(std::make_unique<Circle>());
    const auto work = [&shapes](unsigned long turn) { return sum_areas(shapes, turn) + 1; };
    std::thread other([&work] { live(work); });
    stacks_begin();
    live(work);
}
