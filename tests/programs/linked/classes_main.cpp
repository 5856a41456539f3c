#include "classes.h"

#include <iostream>
#include <memory>

struct Circle final : Shape {
    int area() const override { return 3 * side * side; }
};

int main()
{
    __asm__ volatile("int3");
    std::unique_ptr<Shape> shapes[] = {std::make_unique<Square>(), std::make_unique<Circle>()};
    int sum = 0;
    for (auto &shape : shapes)
        sum += shape->area();
    std::cout << sum << dynamic_cast<Named &>(*shapes[0]).length() << std::endl;
    __asm__ volatile("int3");
    return sum == 0;
}
