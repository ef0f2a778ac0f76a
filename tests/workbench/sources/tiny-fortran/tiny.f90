function tiny_sum(n, x) bind(c, name='tiny_sum') result(total)
  use iso_c_binding
  integer(c_int), value :: n
  real(c_double), intent(in) :: x(n)
  real(c_double) :: total
  character(len=32) :: text
  total = sum(x)
  write (text, '(f12.4)') total
  read (text, *) total
end function
