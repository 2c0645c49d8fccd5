/** Who is in a room: the streams called ROOM.PERSON. Pure. */

/** The name under which a person publishes in a room. */
export const nameOf = (room, person) => `${room}.${person}`;

/** The persons in a room among stream names, sorted. Rooms and persons hold no dot. */
export const personsOf = (room, names) =>
  [...names]
    .filter((name) => name.startsWith(`${room}.`))
    .map((name) => name.slice(room.length + 1))
    .sort();

/** Why `person` cannot join; "" if they can. */
export function whyNot(room, person, names) {
  const persons = personsOf(room, names);
  if (persons.includes(person)) return `Somebody called ${person} is in ${room} already: choose another name.`;
  if (persons.length > 1) return `${room} is full: ${persons.join(" and ")} are in it.`;
  return "";
}
